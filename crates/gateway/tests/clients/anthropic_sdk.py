"""Anthropic's Python SDK on messages, against the real gateway: only `base_url` differs from what its users write.

Run as `anthropic_sdk.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts.
"""

import anthropic
from _world import AHOY, LAST_WORD, PATIENCE, REGIONS, cancelled, cut_by_the_end, each_failure, main, near, quiet
from _world import raised as raised_of

ASK = {"model": "claude", "max_tokens": 1000, "messages": AHOY}
TOOL = {"name": "count", "input_schema": {"type": "object", "properties": {"what": {"type": "string"}}}}

# What each status is raised as.
RAISED = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.ContentTooLargeError,
    429: anthropic.RateLimitError,
    431: anthropic.RequestHeaderFieldsTooLargeError,
    502: anthropic.InternalServerError,
    503: anthropic.ServiceUnavailableError,
    504: anthropic.GatewayTimeoutError,
}


def connect(world, kind=anthropic.Anthropic, **options):
    return kind(base_url=world.root, **{"api_key": "none", "timeout": PATIENCE, "max_retries": 0, **options})


def raised(kind, ask):
    return raised_of(kind, anthropic.AnthropicError, ask)


def a_plain_answer_is_the_sdks_own_object(world):
    raw = connect(world).messages.with_raw_response.create(**ASK)
    answer = raw.parse()
    assert answer.content[0].text.endswith(LAST_WORD) and answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert answer.model == "claude-sonnet-4-5", "the provider's own name of it"
    assert answer._request_id == raw.headers["request-id"]
    assert raw.headers["x-outrigger-provider"] == "claude" and raw.headers["x-outrigger-region"] in REGIONS


def a_stream_says_what_the_plain_answer_says(world):
    client = connect(world)
    plain = client.messages.create(**ASK)
    with client.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == plain.content[0].text == final.content[0].text
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", plain.usage.output_tokens)


def tools_are_called_plain_and_streamed(world):
    client = connect(world)
    options = {**ASK, "tools": [TOOL], "tool_choice": {"type": "any"}}
    plain = client.messages.create(**options)
    call = plain.content[0]
    assert (call.type, call.name, plain.stop_reason) == ("tool_use", "count", "tool_use") and call.input
    with client.messages.stream(**options) as stream:
        assert stream.get_final_message().content[0].input == call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "seven"}
    messages = [*AHOY, {"role": "assistant", "content": plain.content}, {"role": "user", "content": [result]}]
    answer = client.messages.create(**{**ASK, "tools": [TOOL], "messages": messages})
    assert answer.content[0].text.endswith(LAST_WORD)


def a_region_that_dies_in_between_is_never_noticed(world):
    client = connect(world)
    for turn in range(20):
        if turn == 5:
            world.chaos("reset", ["us-east"])
        if turn == 10:
            world.chaos("overloaded", ["us-east"])
        if turn % 2:
            with client.messages.stream(**ASK, extra_headers=near("us-east")) as stream:
                assert stream.get_final_text().endswith(LAST_WORD)
        else:
            answer = client.messages.create(**ASK, extra_headers=near("us-east"))
            assert answer.content[0].text.endswith(LAST_WORD)


def each_failure_raises_its_own_error(world):
    client = connect(world, max_retries=2)

    def fails(kind, stream):
        error = raised(kind, lambda: client.messages.create(**ASK, stream=stream))
        assert error.body["type"] == "error" and error.body["error"]["message"], error.body
        assert error.request_id
        assert error.response.request.headers["x-stainless-retry-count"] == "0", "so the SDK did not try again"

    for stream in [False, True]:
        raised(anthropic.NotFoundError, lambda: client.messages.create(**{**ASK, "model": "gone"}, stream=stream))
        for chaos, kind in [
            ({"fault": "context_length"}, anthropic.BadRequestError),
            ({"fault": "status", "status": 500}, anthropic.InternalServerError),
        ]:
            world.chaos(**chaos)
            fails(kind, stream)
            world.heal()
    world.chaos("rate_limit", retry_after=120)
    for stream in [False, True]:
        fails(anthropic.RateLimitError, stream)


@each_failure
def each_refusal_raises_its_own_error(world, asked, code, status):
    client = connect(world, api_key=asked["key"])
    messages = [{"role": "user", "content": asked["prompt"]}]
    options = {**ASK, "model": asked["model"] or "claude", "messages": messages, "extra_headers": asked["headers"]}
    for stream in [False, True]:
        error = raised(RAISED[status], lambda: client.messages.create(**options, stream=stream))
        assert (error.status_code, error.body["error"]["code"]) == (status, code), error
        assert error.request_id


def what_is_asked_wrongly_is_a_bad_request(world):
    client = connect(world)
    raised(anthropic.BadRequestError, lambda: client.messages.create(**{**ASK, "messages": []}))
    # An OpenAI deployment takes no messages.
    raised(anthropic.BadRequestError, lambda: client.messages.create(**{**ASK, "model": "chat"}))


def a_stream_that_is_cut_everywhere_raises(world):
    world.chaos("cut", after=5)
    seen = []
    try:
        with connect(world).messages.stream(**ASK) as stream:
            for event in stream:
                seen.append(event)
    except (anthropic.APIError, anthropic.APIConnectionError) as error:
        assert seen, f"its beginning was given before {error!r}"
        return
    raise AssertionError("a cut stream was taken for an answer")


def a_stream_that_the_gateways_end_cuts_raises(world):
    def read():
        with connect(world).messages.stream(**ASK) as stream:
            return stream.get_final_message()

    error = cut_by_the_end(world, lambda: raised(anthropic.APIStatusError, read))
    assert error.body["error"]["code"] == "draining", error


def what_its_caller_leaves_is_cancelled_upstream(world):
    world.chaos("slow_tokens")
    with connect(world).messages.stream(**ASK) as stream:
        next(iter(stream))
    quiet(world, True)
    world.heal()
    world.chaos("silent")

    async def ask():
        async with connect(world, anthropic.AsyncAnthropic) as client:
            await client.messages.create(**ASK)

    cancelled(world, ask)


TESTS = [
    what_its_caller_leaves_is_cancelled_upstream,
    a_plain_answer_is_the_sdks_own_object,
    a_stream_says_what_the_plain_answer_says,
    tools_are_called_plain_and_streamed,
    a_region_that_dies_in_between_is_never_noticed,
    each_failure_raises_its_own_error,
    each_refusal_raises_its_own_error,
    what_is_asked_wrongly_is_a_bad_request,
    a_stream_that_the_gateways_end_cuts_raises,
    a_stream_that_is_cut_everywhere_raises,
]

if __name__ == "__main__":
    main(TESTS)
