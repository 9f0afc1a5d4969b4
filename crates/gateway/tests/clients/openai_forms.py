"""Every answer in OpenAI's forms, checked strictly against the types that OpenAI generates from its OpenAPI description.

The SDK itself takes whatever comes: a missing field is found by who reads it. Here each body and each frame is validated field by field,
as JSON. The description's own file is in no package registry; the types of the SDK are made from it and carry its required fields,
its literals and its unions.

Run as `openai_forms.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts.
"""

import json
import urllib.error
import urllib.request

from _world import AHOY, PATIENCE, main
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.shared import ErrorObject
from pydantic import TypeAdapter, ValidationError

FUNCTION = {"name": "count", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}
CHAT = {"model": "chat", "messages": AHOY}
RESPONSES = {"model": "chat", "input": "ahoy", "store": False}


def ask(world, path, body=None):
    """The status and the bytes of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(world.root + "/v1" + path, data=data, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def valid(kind, data):
    return TypeAdapter(kind).validate_json(data, strict=True)


def frames(data):
    """What the frames of a stream say, the last one aside."""
    said = [line[6:] for line in data.decode().splitlines() if line.startswith("data: ")]
    return [line for line in said if line != "[DONE]"]


def chats_have_the_form_of_chats(world):
    tools = {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"}
    # Those of another dialect's deployments are written by the gateway itself.
    for model in ["chat", "claude"]:
        for more in [{}, tools]:
            status, data = ask(world, "/chat/completions", {**CHAT, "model": model, **more})
            assert status == 200 and valid(ChatCompletion, data).choices, data
            options = {"stream": True, "stream_options": {"include_usage": True}}
            status, data = ask(world, "/chat/completions", {**CHAT, "model": model, **more, **options})
            chunks = [valid(ChatCompletionChunk, frame) for frame in frames(data)]
            assert len(chunks) > 2 and chunks[-1].usage, data


def a_rescued_stream_has_the_form_of_a_stream(world):
    world.chaos("cut", ["us-east", "eu-west"], after=5)
    status, data = ask(world, "/chat/completions", {**CHAT, "stream": True})
    assert [valid(ChatCompletionChunk, frame) for frame in frames(data)] and data.endswith(b"data: [DONE]\n\n")


def completions_embeddings_and_responses_have_their_forms(world):
    status, data = ask(world, "/completions", {"model": "chat", "prompt": "ahoy"})
    assert valid(Completion, data).choices
    # Before the last chunk OpenAI itself sends a null reason, which its description does not know.
    status, data = ask(world, "/completions", {"model": "chat", "prompt": "ahoy", "stream": True})
    assert valid(Completion, frames(data)[-1]).choices[0].finish_reason == "stop"
    status, data = ask(world, "/embeddings", {"model": "chat", "input": "ahoy", "encoding_format": "float"})
    assert valid(CreateEmbeddingResponse, data).data
    status, data = ask(world, "/responses", RESPONSES)
    assert valid(Response, data).status == "completed"
    status, data = ask(world, "/responses", {**RESPONSES, "stream": True})
    assert valid(ResponseStreamEvent, frames(data)[-1]).type == "response.completed"
    assert all(valid(ResponseStreamEvent, frame) for frame in frames(data))


def models_have_the_form_of_models(world):
    listed = json.loads(ask(world, "/models")[1])
    assert listed["object"] == "list" and all(valid(Model, json.dumps(model)) for model in listed["data"])
    assert valid(Model, ask(world, "/models/chat")[1]).id == "chat"


def errors_have_the_form_of_errors(world):
    def fails(status, path, body, code):
        got, data = ask(world, path, body)
        error = valid(ErrorObject, json.dumps(json.loads(data)["error"]))
        assert (got, error.code) == (status, code), data

    fails(404, "/chat/completions", {**CHAT, "model": "gone"}, "model_not_found")
    fails(404, "/models/gone", None, "model_not_found")
    fails(400, "/responses", {**RESPONSES, "previous_response_id": "resp_gone"}, "stateful_request")
    world.chaos("status", status=500)
    fails(502, "/chat/completions", CHAT, "upstream_exhausted")
    world.heal()
    world.chaos("cut", after=5)
    last = frames(ask_broken(world))[-1]
    assert valid(ErrorObject, json.dumps(json.loads(last)["error"])).code == "answer_truncated", last


def ask_broken(world):
    """What came of a stream until it was aborted."""
    data = json.dumps({**CHAT, "stream": True}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(world.root + "/v1/chat/completions", data=data, headers=headers)
    got = b""
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        try:
            while piece := answer.read1():
                got += piece
        except OSError:
            return got
        except Exception as error:  # http.client says IncompleteRead where the last chunk is missing
            assert "IncompleteRead" in repr(error), error
            return got
    raise AssertionError("a cut stream came to a clean end")


def what_lacks_a_field_is_no_answer(world):
    """The check itself: it must be able to fail."""
    whole = json.loads(ask(world, "/chat/completions", CHAT)[1])
    for field in ["id", "choices", "created", "model", "object"]:
        try:
            valid(ChatCompletion, json.dumps({name: value for name, value in whole.items() if name != field}))
        except ValidationError:
            continue
        raise AssertionError(f"an answer without `{field}` was taken")


TESTS = [
    chats_have_the_form_of_chats,
    a_rescued_stream_has_the_form_of_a_stream,
    completions_embeddings_and_responses_have_their_forms,
    models_have_the_form_of_models,
    errors_have_the_form_of_errors,
    what_lacks_a_field_is_no_answer,
]

if __name__ == "__main__":
    main(TESTS)
