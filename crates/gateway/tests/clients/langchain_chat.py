"""LangChain's chat model for OpenAI's API, against the real gateway: only `base_url` differs from what its users write.

Run as `langchain_chat.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts.
"""

import openai
from _world import LAST_WORD, PATIENCE, cancelled, cut_by_the_end, each_failure, main, near, quiet
from langchain_openai import ChatOpenAI
from openai_sdk import RAISED

TOOL = {
    "type": "function",
    "function": {
        "name": "count",
        "description": "Counts.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
    },
}


def connect(world, **options):
    options = {"model": "chat", "api_key": "none", "timeout": PATIENCE, "max_retries": 0, **options}
    return ChatOpenAI(base_url=world.root + "/v1", **options)


def an_answer_is_whole_plain_and_streamed(world):
    chat = connect(world, stream_usage=True)
    plain = chat.invoke("ahoy")
    assert plain.content.endswith(LAST_WORD) and plain.usage_metadata["total_tokens"] > 0
    assert plain.response_metadata["finish_reason"] == "stop"
    chunks = list(chat.stream("ahoy"))
    assert "".join(chunk.content for chunk in chunks) == plain.content and len(chunks) > 10


def tools_are_called_plain_and_streamed(world):
    chat = connect(world).bind_tools([TOOL], tool_choice="required")
    call = chat.invoke("ahoy").tool_calls[0]
    assert call["name"] == "count"
    whole = None
    for chunk in chat.stream("ahoy"):
        whole = chunk if whole is None else whole + chunk
    assert (whole.tool_calls[0]["name"], whole.tool_calls[0]["args"]) == (call["name"], call["args"])


def a_region_that_dies_in_between_is_never_noticed(world):
    chat = connect(world, default_headers=near("us-east"))
    for turn in range(12):
        if turn == 4:
            world.chaos("reset", ["us-east"])
        assert chat.invoke("ahoy").content.endswith(LAST_WORD)
        assert "".join(chunk.content for chunk in chat.stream("ahoy")).endswith(LAST_WORD)


def fails(kind, ask):
    # LangChain may wrap an error of the SDK's in one of its own that is one still.
    try:
        answer = ask()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected, not {answer!r}")


@each_failure
def each_refusal_raises_its_own_error(world, asked, code, status):
    chat = connect(world, api_key=asked["key"], model=asked["model"] or "chat", default_headers=asked["headers"])
    for ask in [lambda: chat.invoke(asked["prompt"]), lambda: list(chat.stream(asked["prompt"]))]:
        error = fails(RAISED[status], ask)
        assert (error.status_code, error.code) == (status, code), error


def what_the_gateway_could_not_save_is_not_tried_again(world):
    for chaos, kind in [
        ({"fault": "context_length"}, openai.BadRequestError),
        ({"fault": "status", "status": 500}, openai.InternalServerError),
        ({"fault": "rate_limit", "retry_after": 120}, openai.RateLimitError),
    ]:
        world.chaos(**chaos)
        error = fails(kind, lambda: connect(world, max_retries=2).invoke("ahoy"))
        assert error.response.request.headers["x-stainless-retry-count"] == "0", "so the SDK did not try again"
        world.heal()


def a_stream_that_is_cut_everywhere_raises(world):
    world.chaos("cut", after=5)
    chunks = []
    try:
        for chunk in connect(world).stream("ahoy"):
            chunks.append(chunk)
    except openai.APIError as error:
        assert chunks, f"its beginning was given before {error!r}"
        return
    raise AssertionError("a cut stream was taken for an answer")


def a_stream_that_the_gateways_end_cuts_raises(world):
    error = cut_by_the_end(world, lambda: fails(openai.APIError, lambda: list(connect(world).stream("ahoy"))))
    assert error.code == "draining", error


def what_its_caller_cancels_is_cancelled_upstream(world):
    world.chaos("slow_tokens")
    stream = connect(world).stream("ahoy")
    next(stream)
    stream.close()
    quiet(world, True)
    world.heal()
    world.chaos("silent")
    cancelled(world, lambda: connect(world).ainvoke("ahoy"))


TESTS = [
    an_answer_is_whole_plain_and_streamed,
    tools_are_called_plain_and_streamed,
    a_region_that_dies_in_between_is_never_noticed,
    each_refusal_raises_its_own_error,
    what_the_gateway_could_not_save_is_not_tried_again,
    a_stream_that_is_cut_everywhere_raises,
    a_stream_that_the_gateways_end_cuts_raises,
    what_its_caller_cancels_is_cancelled_upstream,
]

if __name__ == "__main__":
    main(TESTS)
