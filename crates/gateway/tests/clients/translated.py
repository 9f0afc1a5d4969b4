"""OpenAI's Python SDK on chats that Anthropic's deployments serve, against the real gateway.

Run as `translated.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts.
"""

import openai
from _world import AHOY, LAST_WORD, PATIENCE, main, near
from _world import raised as raised_of

TOOL = {
    "type": "function",
    "function": {"name": "count", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}},
}


def connect(world, **options):
    return openai.OpenAI(base_url=world.root + "/v1", api_key="none", **{"timeout": PATIENCE, "max_retries": 0, **options})


def raised(kind, ask):
    return raised_of(kind, openai.OpenAIError, ask)


def a_plain_answer_is_the_sdks_own_object(world):
    raw = connect(world).chat.completions.with_raw_response.create(
        model="claude", temperature=0.3, messages=[{"role": "system", "content": "Speak of the sea."}, *AHOY]
    )
    answer = raw.parse()
    assert answer.object == "chat.completion" and answer.created > 1_700_000_000
    assert answer.choices[0].message.content.endswith(LAST_WORD) and answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.model == "claude-sonnet-4-5", "the provider's own name of it"
    assert raw.headers["x-outrigger-provider"] == "claude"


def a_stream_says_what_the_plain_answer_says(world):
    client = connect(world)
    plain = client.chat.completions.create(model="claude", messages=AHOY)
    # Another dialect's deployment says the same to the same question.
    assert plain.choices[0].message.content == client.chat.completions.create(model="chat", messages=AHOY).choices[0].message.content
    with client.chat.completions.stream(
        model="claude", messages=AHOY, stream_options={"include_usage": True}
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == plain.choices[0].message.content
    assert (final.choices[0].finish_reason, final.usage.completion_tokens) == ("stop", plain.usage.completion_tokens)
    chunks = list(client.chat.completions.create(model="claude", messages=AHOY, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks), "usage comes only when it was asked for"


def tools_are_called_and_their_results_are_read(world):
    client = connect(world)
    options = {"model": "claude", "tools": [TOOL]}
    answer = client.chat.completions.create(**options, messages=AHOY, tool_choice="required")
    message = answer.choices[0].message
    call = message.tool_calls[0]
    assert (answer.choices[0].finish_reason, call.function.name) == ("tool_calls", "count") and message.content is None
    with client.chat.completions.stream(**options, messages=AHOY, tool_choice="required") as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert streamed.function.arguments == call.function.arguments
    history = [*AHOY, message, {"role": "tool", "tool_call_id": call.id, "content": "seven"}]
    answer = client.chat.completions.create(**options, messages=history)
    assert answer.choices[0].message.content.endswith(LAST_WORD)


def a_limit_of_tokens_is_kept_and_said(world):
    answer = connect(world).chat.completions.create(model="claude", messages=AHOY, max_completion_tokens=3)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 3


def a_region_that_dies_in_between_is_never_noticed(world):
    client = connect(world)
    for turn in range(16):
        if turn == 4:
            world.chaos("overloaded", ["us-east"])
        if turn == 8:
            world.chaos("cut", ["us-east"], after=0)
        options = {"model": "claude", "messages": AHOY, "extra_headers": near("us-east")}
        if turn % 2:
            chunks = list(client.chat.completions.create(**options, stream=True))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        else:
            text = client.chat.completions.create(**options).choices[0].message.content
        assert text.endswith(LAST_WORD), text


def each_failure_raises_its_own_error(world):
    client = connect(world, max_retries=2)
    for stream in [False, True]:

        def ask():
            return client.chat.completions.create(model="claude", messages=AHOY, stream=stream)

        world.chaos("context_length")
        error = raised(openai.BadRequestError, ask)
        assert (error.code, error.type) == ("context_length_exceeded", "invalid_request_error"), error.body
        world.heal()
        world.chaos("status", status=500)
        raised(openai.InternalServerError, ask)
        world.heal()
    world.chaos("rate_limit", retry_after=120)
    assert raised(openai.RateLimitError, ask).code == "rate_limit_exceeded"


def what_anthropic_cannot_serve_is_a_bad_request(world):
    client = connect(world)
    for wish, param in [({"n": 2}, "n"), ({"logprobs": True}, "logprobs"), ({"logit_bias": {"5": -100}}, "logit_bias")]:
        error = raised(
            openai.BadRequestError, lambda: client.chat.completions.create(model="claude", messages=AHOY, **wish)
        )
        assert error.param == param, error.body


def a_stream_that_is_cut_everywhere_raises(world):
    world.chaos("cut", after=5)
    seen = []
    try:
        for chunk in connect(world).chat.completions.create(model="claude", messages=AHOY, stream=True):
            seen.append(chunk)
    except openai.APIError as error:
        assert seen, f"its beginning was given before {error!r}"
        return
    raise AssertionError("a cut stream was taken for an answer")


TESTS = [
    a_plain_answer_is_the_sdks_own_object,
    a_stream_says_what_the_plain_answer_says,
    tools_are_called_and_their_results_are_read,
    a_limit_of_tokens_is_kept_and_said,
    a_region_that_dies_in_between_is_never_noticed,
    each_failure_raises_its_own_error,
    what_anthropic_cannot_serve_is_a_bad_request,
    a_stream_that_is_cut_everywhere_raises,
]

if __name__ == "__main__":
    main(TESTS)
