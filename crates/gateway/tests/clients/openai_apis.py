"""OpenAI's Python SDK on completions, embeddings and responses, against the real gateway.

Run as `openai_apis.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts.
"""

import openai
from _world import LAST_WORD, PATIENCE, main, near
from _world import raised as raised_of

TOOL = {"type": "function", "name": "count", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}


def connect(world, **options):
    return openai.OpenAI(base_url=world.root + "/v1", api_key="none", **{"timeout": PATIENCE, "max_retries": 0, **options})


def raised(kind, ask):
    return raised_of(kind, openai.OpenAIError, ask)


def completions_are_served_plain_and_streamed(world):
    client = connect(world)
    plain = client.completions.create(model="chat", prompt="ahoy")
    assert plain.choices[0].text.endswith(LAST_WORD) and plain.choices[0].finish_reason == "stop"
    assert plain.usage.completion_tokens > 0 and plain.model == "gpt-4.1"
    chunks = list(
        client.completions.create(model="chat", prompt="ahoy", stream=True, stream_options={"include_usage": True})
    )
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == plain.choices[0].text
    assert chunks[-1].usage == plain.usage and len(chunks) > 10


def embeddings_are_served_in_both_encodings(world):
    client = connect(world)
    # The SDK asks for base64 unless told otherwise, and decodes it.
    packed = client.embeddings.create(model="chat", input=["ahoy", "avast"])
    plain = client.embeddings.create(model="chat", input=["ahoy", "avast"], encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1]
    for one, other in zip(packed.data, plain.data):
        assert len(one.embedding) == len(other.embedding) > 0
        assert all(abs(x - y) < 1e-6 for x, y in zip(one.embedding, other.embedding))
    assert packed.usage.total_tokens > 0


def responses_are_served_plain_and_streamed(world):
    client = connect(world)
    plain = client.responses.create(model="chat", input="ahoy", store=False)
    assert plain.output_text.endswith(LAST_WORD) and plain.status == "completed"
    assert plain.usage.total_tokens == plain.usage.input_tokens + plain.usage.output_tokens > 0
    with client.responses.stream(model="chat", input="ahoy", store=False) as stream:
        deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert deltas == plain.output_text == final.output_text
    assert final.usage.output_tokens == plain.usage.output_tokens


def responses_call_tools(world):
    client = connect(world)
    options = {"model": "chat", "input": "ahoy", "store": False, "tools": [TOOL], "tool_choice": "required"}
    call = client.responses.create(**options).output[0]
    assert (call.type, call.name) == ("function_call", "count") and call.arguments
    events = list(client.responses.create(**options, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta") == call.arguments
    assert events[-1].type == "response.completed"


def a_region_that_dies_in_between_is_never_noticed(world):
    client = connect(world)
    options = {"model": "chat", "extra_headers": near("us-east")}
    for turn in range(12):
        if turn == 4:
            world.chaos("reset", ["us-east"])
        assert client.completions.create(**options, prompt="ahoy").choices[0].text.endswith(LAST_WORD)
        assert client.embeddings.create(**options, input="ahoy").data
        assert client.responses.create(**options, input="ahoy", store=False).output_text.endswith(LAST_WORD)
        events = list(client.responses.create(**options, input="ahoy", store=False, stream=True))
        assert events[-1].type == "response.completed"


def what_no_region_can_serve_raises(world):
    world.chaos("status", status=500)
    client = connect(world, max_retries=2)
    for ask in [
        lambda: client.completions.create(model="chat", prompt="ahoy"),
        lambda: client.embeddings.create(model="chat", input="ahoy"),
        lambda: client.responses.create(model="chat", input="ahoy", store=False),
        lambda: client.responses.create(model="chat", input="ahoy", store=False, stream=True),
    ]:
        error = raised(openai.InternalServerError, ask)
        assert error.status_code in (502, 503), error
        assert error.response.request.headers["x-stainless-retry-count"] == "0", "so the SDK did not try again"


def a_callers_fault_is_a_bad_request(world):
    client = connect(world)
    raised(openai.NotFoundError, lambda: client.embeddings.create(model="gone", input="ahoy"))
    raised(openai.BadRequestError, lambda: client.responses.create(model="chat", input=[], store=False))
    error = raised(openai.BadRequestError, lambda: client.responses.create(model="claude", input="ahoy"))
    assert error.code == "unsupported_endpoint", error
    error = raised(openai.BadRequestError, lambda: client.embeddings.create(model="claude", input="ahoy"))
    assert error.code == "unsupported_endpoint", error
    # The response that it goes on from is remembered by nobody.
    raised(
        openai.BadRequestError,
        lambda: client.responses.create(model="chat", input="ahoy", previous_response_id="resp_gone"),
    )


def limits_everywhere_are_a_rate_limit(world):
    world.chaos("rate_limit", retry_after=120)
    client = connect(world)
    error = raised(openai.RateLimitError, lambda: client.responses.create(model="chat", input="ahoy", store=False))
    assert error.code == "rate_limit_exceeded" and error.response.headers["retry-after"] == "60"


def a_stream_that_is_cut_everywhere_is_never_whole(world):
    world.chaos("cut", after=5)
    client = connect(world)
    for ask in [
        lambda: client.completions.create(model="chat", prompt="ahoy", stream=True),
        lambda: client.responses.create(model="chat", input="ahoy", store=False, stream=True),
    ]:
        seen = []
        try:
            for event in ask():
                seen.append(event)
        except openai.APIError as error:
            assert seen, "its beginning was given before the error"
            assert error.code == "answer_truncated", "the frame was read, not only the abort"
        else:
            raise AssertionError(f"a cut stream was taken for an answer: {seen[-1]!r}")


TESTS = [
    completions_are_served_plain_and_streamed,
    embeddings_are_served_in_both_encodings,
    responses_are_served_plain_and_streamed,
    responses_call_tools,
    a_region_that_dies_in_between_is_never_noticed,
    what_no_region_can_serve_raises,
    a_callers_fault_is_a_bad_request,
    limits_everywhere_are_a_rate_limit,
    a_stream_that_is_cut_everywhere_is_never_whole,
]

if __name__ == "__main__":
    main(TESTS)
