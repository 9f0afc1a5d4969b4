"""Every answer in OpenAI's forms, as OpenAI's own description has them.

The SDKs take whatever comes: a missing field is found by who reads it. Here each body, each frame and each error is held against
the schema that the description gives for its path, status and content type.

Run as `openai_forms.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts.
"""

import json

from _described import Description, Invalid, Known
from _world import AHOY, ask, ask_broken, each_failure, frames, main

FUNCTION = {"name": "count", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}
CHAT = {"model": "chat", "messages": AHOY}
RESPONSES = {"model": "chat", "input": "ahoy", "store": False}
STREAM = "text/event-stream"

def is_null(value):
    return value is None


KNOWN = [
    Known(("choices", "finish_reason"), is_null, "chunks of completions: the reason is null before the last one"),
    Known(("data", "embedding"), lambda value: isinstance(value, str), "with `base64` a vector comes as one string"),
    Known(("usage",), is_null, "`response.created` and `response.in_progress`, in the description's own examples"),
    Known(("user",), is_null, "each response of nobody in particular, in the description's own examples"),
]
OPENAI = Description("openai", KNOWN)


def chats_have_the_form_of_chats(world):
    tools = {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"}
    # Those of another dialect's deployments are written by the gateway itself.
    for model in ["chat", "claude"]:
        for more in [{}, tools, {"n": 2}, {"max_completion_tokens": 3}]:
            if model == "claude" and "n" in more:
                continue
            status, data = ask(world, "/v1/chat/completions", {**CHAT, "model": model, **more})
            assert status == 200 and OPENAI.answer(data, "/chat/completions")["choices"], data
            options = {"stream": True, "stream_options": {"include_usage": True}}
            _, data = ask(world, "/v1/chat/completions", {**CHAT, "model": model, **more, **options})
            chunks = [OPENAI.answer(frame, "/chat/completions", kind=STREAM) for frame in frames(data)]
            assert len(chunks) > 2 and chunks[-1]["usage"], data


def a_rescued_stream_has_the_form_of_a_stream(world):
    world.chaos("cut", ["us-east", "eu-west"], after=5)
    _, data = ask(world, "/v1/chat/completions", {**CHAT, "stream": True})
    chunks = [OPENAI.answer(frame, "/chat/completions", kind=STREAM) for frame in frames(data)]
    assert chunks and data.endswith(b"data: [DONE]\n\n")


def completions_have_their_form(world):
    _, data = ask(world, "/v1/completions", {"model": "chat", "prompt": "ahoy"})
    assert OPENAI.answer(data, "/completions")["choices"][0]["finish_reason"] == "stop"
    # "Both the streamed and non-streamed response objects share the same shape", says the description.
    _, data = ask(world, "/v1/completions", {"model": "chat", "prompt": "ahoy", "stream": True})
    chunks = [OPENAI.answer(frame, "/completions") for frame in frames(data)]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def embeddings_have_their_form(world):
    for encoding in ["float", "base64"]:
        _, data = ask(world, "/v1/embeddings", {"model": "chat", "input": "ahoy", "encoding_format": encoding})
        assert OPENAI.answer(data, "/embeddings")["data"]


def responses_have_their_form(world):
    tools = {"tools": [{"type": "function", **FUNCTION}], "tool_choice": "required"}
    for more, ends in [({}, "completed"), (tools, "completed"), ({"max_output_tokens": 16}, "incomplete")]:
        _, data = ask(world, "/v1/responses", {**RESPONSES, **more})
        assert OPENAI.answer(data, "/responses")["status"] == ends
        _, data = ask(world, "/v1/responses", {**RESPONSES, **more, "stream": True})
        events = [OPENAI.event(frame, "ResponseStreamEvent") for frame in frames(data)]
        assert events[-1]["type"] == f"response.{ends}"
        assert [event["sequence_number"] for event in events] == list(range(len(events)))


def models_have_the_form_of_models(world):
    assert OPENAI.answer(ask(world, "/v1/models")[1], "/models", "get")["data"]
    assert OPENAI.answer(ask(world, "/v1/models/chat")[1], "/models/{model}", "get")["id"] == "chat"


@each_failure
def refusals_have_the_form_of_errors(world, asked, code, status):
    headers = {**asked["headers"], "authorization": "Bearer " + asked["key"]}
    model = asked["model"] or "chat"
    for path, body in [
        ("/chat/completions", {"messages": [{"role": "user", "content": asked["prompt"]}]}),
        ("/completions", {"prompt": asked["prompt"]}),
        ("/embeddings", {"input": asked["prompt"]}),
        ("/responses", {"input": asked["prompt"], "store": False}),
    ]:
        got, data = ask(world, "/v1" + path, {"model": model, **body}, headers)
        assert (got, OPENAI.valid(data, "ErrorResponse")["error"]["code"]) == (status, code), data


def errors_have_the_form_of_errors(world):
    def fails(status, path, body, code):
        got, data = ask(world, "/v1" + path, body)
        error = OPENAI.valid(data, "ErrorResponse")["error"]
        assert (got, error["code"]) == (status, code), data

    fails(404, "/chat/completions", {**CHAT, "model": "gone"}, "model_not_found")
    fails(404, "/models/gone", None, "model_not_found")
    fails(404, "/gone", None, "unknown_url")
    fails(405, "/chat/completions", None, "method_not_allowed")
    fails(400, "/chat/completions", {"messages": AHOY}, "invalid_value")
    fails(400, "/responses", {**RESPONSES, "previous_response_id": "resp_gone"}, "stateful_request")
    fails(400, "/embeddings", {"model": "claude", "input": "ahoy"}, "unsupported_endpoint")
    # What a provider says passes as it came; what one of another dialect says is put into these words.
    for model in ["chat", "claude"]:
        world.chaos("context_length")
        for stream in [False, True]:
            body = {**CHAT, "model": model, "stream": stream}
            fails(400, "/chat/completions", body, "context_length_exceeded")
        fails(400, "/completions", {"model": "chat", "prompt": "ahoy"}, "context_length_exceeded")
        world.heal()


def errors_after_an_early_status_have_their_forms(world):
    world.chaos("silent")
    headers = {"x-outrigger-timeout": "0.4"}
    for model in ["chat", "claude"]:
        body = {**CHAT, "model": model, "stream": True}
        (said,) = frames(ask_broken(world, "/v1/chat/completions", body, headers))
        assert OPENAI.valid(said, "ErrorResponse")["error"]["code"] == "deadline_exceeded", said
    (said,) = frames(ask_broken(world, "/v1/responses", {**RESPONSES, "stream": True}, headers))
    event = OPENAI.event(said, "ResponseStreamEvent")
    assert (event["type"], event["code"], event["sequence_number"]) == ("error", "deadline_exceeded", 0), event


errors_after_an_early_status_have_their_forms.world = {"server": ['early_status = "100ms"']}


def a_stream_that_is_cut_ends_with_an_error_of_its_own_form(world):
    world.chaos("cut", after=5)
    for path, body in [
        ("/chat/completions", CHAT),
        ("/chat/completions", {**CHAT, "model": "claude"}),
        ("/completions", {"model": "chat", "prompt": "ahoy"}),
    ]:
        *_, last = frames(ask_broken(world, "/v1" + path, {**body, "stream": True}))
        assert OPENAI.valid(last, "ErrorResponse")["error"]["code"] == "answer_truncated", last
    said = frames(ask_broken(world, "/v1/responses", {**RESPONSES, "stream": True}))
    events = [OPENAI.event(frame, "ResponseStreamEvent") for frame in said]
    assert (events[-1]["type"], events[-1]["code"]) == ("error", "answer_truncated"), said
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def what_lacks_a_field_is_no_answer(world):
    """The check itself: it must be able to fail."""
    whole = json.loads(ask(world, "/v1/chat/completions", CHAT)[1])

    def refused(answer):
        try:
            OPENAI.answer(json.dumps(answer), "/chat/completions")
        except Invalid:
            return
        raise AssertionError(f"taken for an answer: {answer}")

    for field in ["id", "choices", "created", "model", "object"]:
        refused({name: value for name, value in whole.items() if name != field})
    refused({**whole, "object": "chat.completion.chunk"})
    refused({**whole, "created": "today"})
    del whole["choices"][0]["message"]["refusal"]
    refused(whole)


def each_exception_is_needed(_):
    assert not OPENAI.not_needed(), OPENAI.not_needed()


TESTS = [
    chats_have_the_form_of_chats,
    a_rescued_stream_has_the_form_of_a_stream,
    completions_have_their_form,
    embeddings_have_their_form,
    responses_have_their_form,
    models_have_the_form_of_models,
    refusals_have_the_form_of_errors,
    errors_have_the_form_of_errors,
    errors_after_an_early_status_have_their_forms,
    a_stream_that_is_cut_ends_with_an_error_of_its_own_form,
    what_lacks_a_field_is_no_answer,
    each_exception_is_needed,
]

if __name__ == "__main__":
    main(TESTS)
