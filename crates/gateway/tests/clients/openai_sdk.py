"""OpenAI's Python SDK on chats, against the real gateway: only `base_url` differs from what its users write.

Run as `openai_sdk.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts.
"""

import asyncio

import openai
from _world import AHOY, LAST_WORD, PATIENCE, REGIONS, cancelled, cut_by_the_end, each_failure, main, near, quiet
from _world import raised as raised_of


TOOL = {
    "type": "function",
    "function": {"name": "count", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}},
}

# What each status is raised as; what has no class of its own is the base of them all.
RAISED = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
    431: openai.APIStatusError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
    504: openai.InternalServerError,
}


def connect(world, kind=openai.OpenAI, **options):
    return kind(base_url=world.root + "/v1", **{"api_key": "none", "timeout": PATIENCE, **options})


def raised(kind, ask):
    return raised_of(kind, openai.OpenAIError, ask)


def read(stream):
    """The text of a stream that comes to its end."""
    chunks = list(stream)
    assert any(chunk.choices and chunk.choices[0].finish_reason == "stop" for chunk in chunks), "no finish reason"
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def a_plain_answer_is_the_sdks_own_object(world):
    answer = connect(world).chat.completions.create(model="chat", messages=AHOY)
    assert answer.choices[0].message.content.endswith(LAST_WORD)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.model == "gpt-4.1", "the provider's own name of it"


def a_stream_comes_chunk_by_chunk_with_its_usage(world):
    stream = connect(world).chat.completions.create(
        model="chat", messages=AHOY, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.endswith(LAST_WORD) and len(chunks) > 10
    assert chunks[-1].usage.completion_tokens > 0


def plain_and_streamed_answers_are_the_same(world):
    client = connect(world)
    plain = client.chat.completions.create(model="chat", messages=AHOY).choices[0].message.content
    with client.chat.completions.stream(model="chat", messages=AHOY) as stream:
        assert stream.get_final_completion().choices[0].message.content == plain


def a_request_has_an_id_and_an_origin(world):
    raw = connect(world).chat.completions.with_raw_response.create(model="chat", messages=AHOY, extra_headers=near("eu-west"))
    answer = raw.parse()
    assert answer._request_id and answer._request_id == raw.headers["x-request-id"]
    assert raw.headers["x-outrigger-provider"] == "holysheep"
    assert raw.headers["x-outrigger-region"] in REGIONS
    assert raw.headers["x-outrigger-attempts"] == "1"


def the_models_are_listed(world):
    client = connect(world)
    assert [model.id for model in client.models.list()] == ["chat", "claude"]
    assert client.models.retrieve("chat").id == "chat"
    raised(openai.NotFoundError, lambda: client.models.retrieve("gone"))


def a_region_that_dies_in_between_is_never_noticed(world):
    client = connect(world, max_retries=0)  # what is rescued is rescued by the gateway
    for turn in range(40):
        if turn == 10:
            world.chaos("reset", ["us-east"])
        if turn == 20:
            world.chaos("refuse", ["us-east"])
        options = {"model": "chat", "messages": AHOY, "extra_headers": near("us-east")}
        if turn % 2:
            assert read(client.chat.completions.create(**options, stream=True)).endswith(LAST_WORD)
        else:
            answer = client.chat.completions.create(**options)
            assert answer.choices[0].message.content.endswith(LAST_WORD)


def a_region_that_dies_under_many_callers_is_never_noticed(world):
    async def one(client, turn):
        options = {"model": "chat", "messages": AHOY, "extra_headers": near(REGIONS[turn % 3])}
        if turn % 2:
            stream = await client.chat.completions.create(**options, stream=True)
            chunks = [chunk async for chunk in stream]
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        else:
            text = (await client.chat.completions.create(**options)).choices[0].message.content
        assert text.endswith(LAST_WORD), text

    async def all_of_them():
        async with connect(world, openai.AsyncOpenAI, max_retries=0) as client:
            await asyncio.gather(*(one(client, turn) for turn in range(30)))
            world.chaos("reset", ["us-east"])
            await asyncio.gather(*(one(client, turn) for turn in range(60)))

    asyncio.run(asyncio.wait_for(all_of_them(), 2 * PATIENCE))


def a_region_that_is_silent_before_its_first_word_is_left(world):
    world.chaos("silent", ["us-east"])
    client = connect(world, max_retries=0)
    stream = client.chat.completions.create(model="chat", messages=AHOY, stream=True, extra_headers=near("us-east"))
    assert read(stream).endswith(LAST_WORD)


def an_unknown_model_is_not_found(world):
    error = raised(
        openai.NotFoundError, lambda: connect(world).chat.completions.create(model="gone", messages=AHOY)
    )
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert error.request_id


def a_callers_fault_is_a_bad_request(world):
    client = connect(world)
    error = raised(
        openai.BadRequestError,
        lambda: client.chat.completions.create(model="chat", messages=AHOY, extra_headers=near("mars")),
    )
    assert error.code == "unknown_region"
    world.chaos("context_length")
    error = raised(openai.BadRequestError, lambda: client.chat.completions.create(model="chat", messages=AHOY))
    assert error.code == "context_length_exceeded", "the provider's own words"


def limits_everywhere_are_a_rate_limit(world):
    world.chaos("rate_limit", retry_after=120)
    error = raised(
        openai.RateLimitError, lambda: connect(world).chat.completions.create(model="chat", messages=AHOY)
    )
    assert error.code == "rate_limit_exceeded"
    assert error.response.headers["retry-after"] == "60"
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.request.headers["x-stainless-retry-count"] == "0", "so the SDK did not try again"


def what_the_gateway_could_not_save_is_not_tried_again_by_the_sdk(world):
    world.chaos("status", status=500)
    client = connect(world, max_retries=2)
    for stream in [False, True]:
        error = raised(
            openai.InternalServerError,
            lambda: client.chat.completions.create(model="chat", messages=AHOY, stream=stream),
        )
        assert error.status_code in (502, 503), error
        assert error.response.request.headers["x-stainless-retry-count"] == "0"


def the_gateway_answers_before_the_sdks_patience_ends(world):
    world.chaos("silent")
    client = connect(world, max_retries=0, timeout=2.0)
    error = raised(
        openai.InternalServerError, lambda: client.chat.completions.create(model="chat", messages=AHOY)
    )
    assert (error.status_code, error.code) == (504, "deadline_exceeded")


def a_stream_that_is_cut_in_one_region_is_read_whole(world):
    client = connect(world, max_retries=0)
    options = {"model": "chat", "messages": AHOY, "stream": True}
    world.chaos("cut", ["us-east"], after=5)
    # The first call of all goes to the preferred region: nothing is known of the others yet.
    chunks = list(client.chat.completions.create(**options, extra_headers=near("us-east")))
    undisturbed = read(client.chat.completions.create(**options, extra_headers=near("eu-west")))
    assert read(chunks) == undisturbed
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1, "one stream to its reader"
    rescued = [chunk for chunk in chunks if (chunk.model_extra or {}).get("rescued")]
    assert len(rescued) == 1, "and it says that it was rescued"


def a_stream_that_is_cut_is_gathered_whole_by_the_sdk(world):
    world.chaos("cut", ["us-east"], after=5)
    with connect(world, max_retries=0).chat.completions.stream(
        model="chat", messages=AHOY, stream_options={"include_usage": True}, extra_headers=near("us-east")
    ) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content.endswith(LAST_WORD)
    assert completion.choices[0].finish_reason == "stop" and completion.usage.completion_tokens > 0


def a_stream_that_is_cut_everywhere_raises(world):
    world.chaos("cut", after=5)
    stream = connect(world, max_retries=0).chat.completions.create(model="chat", messages=AHOY, stream=True)
    chunks = []
    try:
        for chunk in stream:
            chunks.append(chunk)
    except (openai.APIError, openai.APIConnectionError) as error:
        assert chunks, f"its beginning was given before {error!r}"
        return
    raise AssertionError("a cut stream was taken for an answer")


@each_failure
def each_refusal_raises_its_own_error(world, asked, code, status):
    client = connect(world, api_key=asked["key"], max_retries=0)
    messages = [{"role": "user", "content": asked["prompt"]}]
    options = {"model": asked["model"] or "chat", "messages": messages, "extra_headers": asked["headers"]}
    for stream in [False, True]:
        error = raised(RAISED[status], lambda: client.chat.completions.create(**options, stream=stream))
        assert (error.status_code, error.code) == (status, code), error
        assert error.request_id


def a_stream_that_the_gateways_end_cuts_raises(world):
    client = connect(world, max_retries=0)
    stream = {"model": "chat", "messages": AHOY, "stream": True}
    error = cut_by_the_end(world, lambda: raised(openai.APIError, lambda: list(client.chat.completions.create(**stream))))
    assert error.code == "draining", error


def a_client_recovers_with_its_regions(world):
    world.chaos("rate_limit", retry_after=1)
    client = connect(world, max_retries=0)
    error = raised(openai.RateLimitError, lambda: client.chat.completions.create(model="chat", messages=AHOY))
    assert float(error.response.headers["retry-after"]) <= 1.0
    world.heal()
    # With its own retries the SDK waits for as long as it is told, and is answered then.
    answer = connect(world, max_retries=2).chat.completions.create(model="chat", messages=AHOY)
    assert answer.choices[0].message.content.endswith(LAST_WORD)


def tools_are_called_plain_and_streamed(world):
    client = connect(world)
    options = {"model": "chat", "messages": AHOY, "tools": [TOOL], "tool_choice": "required"}
    plain = client.chat.completions.create(**options).choices[0]
    call = plain.message.tool_calls[0].function
    assert (plain.finish_reason, call.name) == ("tool_calls", "count")
    with client.chat.completions.stream(**options) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0].function
    assert (streamed.name, streamed.arguments) == (call.name, call.arguments)


def what_its_caller_cancels_is_cancelled_upstream(world):
    world.chaos("slow_tokens")
    stream = connect(world).chat.completions.create(model="chat", messages=AHOY, stream=True)
    next(stream)
    stream.close()
    quiet(world, True)
    world.heal()
    world.chaos("silent")

    async def ask():
        async with connect(world, openai.AsyncOpenAI, max_retries=0) as client:
            await client.chat.completions.create(model="chat", messages=AHOY)

    cancelled(world, ask)


TESTS = [
    tools_are_called_plain_and_streamed,
    what_its_caller_cancels_is_cancelled_upstream,
    a_plain_answer_is_the_sdks_own_object,
    a_stream_comes_chunk_by_chunk_with_its_usage,
    plain_and_streamed_answers_are_the_same,
    a_request_has_an_id_and_an_origin,
    the_models_are_listed,
    a_region_that_dies_in_between_is_never_noticed,
    a_region_that_dies_under_many_callers_is_never_noticed,
    a_region_that_is_silent_before_its_first_word_is_left,
    an_unknown_model_is_not_found,
    a_callers_fault_is_a_bad_request,
    limits_everywhere_are_a_rate_limit,
    what_the_gateway_could_not_save_is_not_tried_again_by_the_sdk,
    the_gateway_answers_before_the_sdks_patience_ends,
    a_stream_that_is_cut_in_one_region_is_read_whole,
    a_stream_that_is_cut_is_gathered_whole_by_the_sdk,
    a_stream_that_is_cut_everywhere_raises,
    each_refusal_raises_its_own_error,
    a_stream_that_the_gateways_end_cuts_raises,
    a_client_recovers_with_its_regions,
]


if __name__ == "__main__":
    main(TESTS)
