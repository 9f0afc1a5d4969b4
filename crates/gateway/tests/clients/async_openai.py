"""async-openai, from Rust, against the real gateway: the project in the folder `async-openai` asks, and this script looks at what it got.

Run as `async_openai.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts. The project is built
into a folder of its own beside the program's.
"""

import json
import pathlib
import subprocess
import sys

from _world import LAST_WORD, PATIENCE, cut_by_the_end, each_failure, main, quiet

FOLDER = pathlib.Path(__file__).resolve().parent / "async-openai"


def built():
    target = pathlib.Path(sys.argv[1]).resolve().parent.parent / "clients" / "async-openai"
    cargo = ["cargo", "build", "--quiet", "--locked", "--manifest-path", FOLDER / "Cargo.toml", "--target-dir", target]
    subprocess.run(cargo, check=True)
    return target / "debug" / "async-openai-client"


def words(world, verb, **asked):
    asked = {"model": "chat", "key": "none", "prompt": "ahoy", "headers": {}, **asked}
    return [CLIENT, world.root + "/v1", verb, json.dumps(asked)]


def ask(world, verb, **asked):
    asking = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "check": True, "timeout": 2 * PATIENCE}
    return json.loads(subprocess.run(words(world, verb, **asked), **asking).stdout)


def an_answer_is_whole_plain_and_streamed(world):
    plain = ask(world, "plain")["answer"]
    text = plain["choices"][0]["message"]["content"]
    assert text.endswith(LAST_WORD) and plain["usage"]["total_tokens"] > 0
    streamed = ask(world, "stream")
    assert (streamed["text"], streamed["finish"]) == (text, "stop") and streamed["chunks"] > 10, streamed


def tools_are_called_plain_and_streamed(world):
    choice = ask(world, "tools")["answer"]["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    call = choice["message"]["tool_calls"][0]["function"]
    assert call["name"] == "count"
    streamed = ask(world, "stream-tools")
    assert (streamed["finish"], streamed["call"]) == ("tool_calls", call), streamed


def a_region_that_dies_is_never_noticed(world):
    world.chaos("reset", ["us-east"])
    for verb in ["stream", "plain", "stream"]:
        assert "error" not in ask(world, verb)


@each_failure
def each_refusal_is_the_apis_own_error(world, asked, code, status):
    asked["model"] = asked["model"] or "chat"
    # Of a status from 500 on it reads no code: the whole body is its message.
    told = {"kind": "api", "status": status, "code": code if status < 500 else None}
    for verb in ["plain", "stream"]:
        assert ask(world, verb, **asked)["error"] == told


def a_providers_refusal_is_the_apis_own_error(world):
    world.chaos("context_length")
    for verb in ["plain", "stream"]:
        assert ask(world, verb)["error"] == {"kind": "api", "status": 400, "code": "context_length_exceeded"}


def a_stream_that_is_cut_everywhere_is_an_error(world):
    world.chaos("cut", after=5)
    given = ask(world, "stream")
    assert given["text"] and given["error"] and given["finish"] is None, given


def a_stream_that_the_gateways_end_cuts_is_an_error(world):
    given = cut_by_the_end(world, lambda: ask(world, "stream"))
    assert given["text"] and given["error"] and given["finish"] is None, given


def a_plain_call_that_is_left_is_cancelled_upstream(world):
    world.chaos("silent")
    with subprocess.Popen(words(world, "leave-plain"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        quiet(world, False)
        client.stdin.write("\n")
        client.stdin.flush()
        assert json.loads(client.stdout.readline()) == {"left": True}
        quiet(world, True)
        client.communicate("\n", timeout=PATIENCE)


def a_stream_that_is_left_is_cancelled_upstream(world):
    world.chaos("slow_tokens")
    with subprocess.Popen(words(world, "leave-stream"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert json.loads(client.stdout.readline())["chunks"] == 1
        # The client still lives: it is the stream that was dropped, not the process.
        quiet(world, True)
        client.communicate("\n", timeout=PATIENCE)


TESTS = [
    an_answer_is_whole_plain_and_streamed,
    tools_are_called_plain_and_streamed,
    a_region_that_dies_is_never_noticed,
    each_refusal_is_the_apis_own_error,
    a_providers_refusal_is_the_apis_own_error,
    a_stream_that_is_cut_everywhere_is_an_error,
    a_stream_that_the_gateways_end_cuts_is_an_error,
    a_plain_call_that_is_left_is_cancelled_upstream,
    a_stream_that_is_left_is_cancelled_upstream,
]

if __name__ == "__main__":
    CLIENT = built()
    main(TESTS)
