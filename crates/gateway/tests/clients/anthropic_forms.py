"""Every answer in Anthropic's forms, as Anthropic's own description has them: messages, events and errors.

Run as `anthropic_forms.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts.
"""

import json

from _described import Description, Invalid, Known
from _world import AHOY, ask, ask_broken, each_failure, frames, main

MESSAGES = "/v1/messages"
ASK = {"model": "claude", "max_tokens": 1000, "messages": AHOY}
TOOL = {"name": "count", "input_schema": {"type": "object", "properties": {"what": {"type": "string"}}}}
TOOLS = {"tools": [TOOL], "tool_choice": {"type": "any"}}

KNOWN = [
    Known(
        ("error",),
        lambda value: value["type"] == "request_too_large" and isinstance(value["message"], str),
        "Anthropic's documentation of errors has `request_too_large` for 413",
    ),
]
ANTHROPIC = Description("anthropic", KNOWN)


def events(data):
    """The events of a stream; pings are in Anthropic's documentation of streams, and in no description."""
    said = [frame for frame in frames(data) if json.loads(frame) != {"type": "ping"}]
    return [ANTHROPIC.event(frame, "MessageStreamEvent") for frame in said]


def messages_have_their_form(world):
    for more, reason in [({}, "end_turn"), (TOOLS, "tool_use"), ({"max_tokens": 3}, "max_tokens")]:
        _, data = ask(world, MESSAGES, {**ASK, **more})
        assert ANTHROPIC.answer(data, MESSAGES)["stop_reason"] == reason
        _, data = ask(world, MESSAGES, {**ASK, **more, "stream": True})
        *_, before, last = events(data)
        assert (before["delta"]["stop_reason"], last["type"]) == (reason, "message_stop")


@each_failure
def refusals_have_the_form_of_errors(world, asked, code, status):
    headers = {**asked["headers"], "x-api-key": asked["key"]}
    messages = [{"role": "user", "content": asked["prompt"]}]
    for stream in [False, True]:
        body = {**ASK, "model": asked["model"] or "claude", "messages": messages, "stream": stream}
        got, data = ask(world, MESSAGES, body, headers)
        # The description knows of no status from 500 on; those have the same form.
        assert (got, ANTHROPIC.answer(data, MESSAGES, status="4XX")["error"]["code"]) == (status, code), data


def errors_have_their_form(world):
    def fails(status, body, kind):
        got, data = ask(world, MESSAGES, body)
        error = ANTHROPIC.answer(data, MESSAGES, status="4XX")["error"]
        assert (got, error["type"]) == (status, kind), data

    fails(404, {**ASK, "model": "gone"}, "not_found_error")
    fails(405, None, "invalid_request_error")
    fails(400, {**ASK, "model": "chat"}, "invalid_request_error")
    fails(400, {**ASK, "model": 7}, "invalid_request_error")
    for stream in [False, True]:
        for chaos, status, kind in [
            ({"fault": "context_length"}, 400, "invalid_request_error"),
            ({"fault": "status", "status": 500}, 502, "api_error"),
        ]:
            world.chaos(**chaos)
            fails(status, {**ASK, "stream": stream}, kind)
            world.heal()
    world.chaos("rate_limit", retry_after=120)
    fails(429, ASK, "rate_limit_error")


def a_stream_that_is_cut_ends_with_an_error(world):
    world.chaos("cut", after=5)
    *begun, last = frames(ask_broken(world, MESSAGES, {**ASK, "stream": True}))
    assert begun and ANTHROPIC.valid(last, "ErrorResponse")["error"]["code"] == "answer_truncated", last


def errors_after_an_early_status_have_their_form(world):
    world.chaos("silent")
    data = ask_broken(world, MESSAGES, {**ASK, "stream": True}, {"x-outrigger-timeout": "0.4"})
    (said,) = frames(data)
    assert b"event: error\n" in data and ANTHROPIC.valid(said, "ErrorResponse")["error"]["type"] == "timeout_error", said


errors_after_an_early_status_have_their_form.world = {"server": ['early_status = "100ms"']}


def what_lacks_a_field_is_no_answer(world):
    """The check itself: it must be able to fail."""
    whole = json.loads(ask(world, MESSAGES, ASK)[1])
    for field in whole:
        try:
            ANTHROPIC.answer(json.dumps({name: value for name, value in whole.items() if name != field}), MESSAGES)
        except Invalid:
            continue
        raise AssertionError(f"an answer without `{field}` was taken")


def each_exception_is_needed(_):
    assert not ANTHROPIC.not_needed(), ANTHROPIC.not_needed()


TESTS = [
    messages_have_their_form,
    refusals_have_the_form_of_errors,
    errors_have_their_form,
    errors_after_an_early_status_have_their_form,
    a_stream_that_is_cut_ends_with_an_error,
    what_lacks_a_field_is_no_answer,
    each_exception_is_needed,
]

if __name__ == "__main__":
    main(TESTS)
