"""async-openai, from Rust, against the real gateway: the project in the folder `async-openai` asks, and this script looks at what it got.

Run as `async_openai.py PROGRAM`, with the path of a built `outrigger`; `_world.py` has the rules of all scripts. The project is built
into a folder of its own beside the program's.
"""

import json
import pathlib
import subprocess
import sys

from _world import LAST_WORD, PATIENCE, main, quiet

FOLDER = pathlib.Path(__file__).resolve().parent / "async-openai"


def built():
    target = pathlib.Path(sys.argv[1]).resolve().parent.parent / "clients" / "async-openai"
    cargo = ["cargo", "build", "--quiet", "--locked", "--manifest-path", FOLDER / "Cargo.toml", "--target-dir", target]
    subprocess.run(cargo, check=True)
    return target / "debug" / "async-openai-client"


def ask(world, verb, model="chat"):
    words = [CLIENT, world.root + "/v1", model, verb]
    asked = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=2 * PATIENCE)
    return json.loads(asked.stdout)


def an_answer_is_whole_plain_and_streamed(world):
    plain = ask(world, "plain")["answer"]
    text = plain["choices"][0]["message"]["content"]
    assert text.endswith(LAST_WORD) and plain["usage"]["total_tokens"] > 0
    streamed = ask(world, "stream")
    assert (streamed["text"], streamed["finish"]) == (text, "stop") and streamed["chunks"] > 10, streamed


def tools_are_called(world):
    choice = ask(world, "tools")["answer"]["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "count"


def a_region_that_dies_is_never_noticed(world):
    world.chaos("reset", ["us-east"])
    for verb in ["stream", "plain", "stream"]:
        assert "error" not in ask(world, verb)


def each_failure_is_the_apis_own_error(world):
    assert ask(world, "plain", "gone")["error"] == {"kind": "api", "status": 404, "code": "model_not_found"}
    world.chaos("context_length")
    assert ask(world, "plain")["error"] == {"kind": "api", "status": 400, "code": "context_length_exceeded"}
    world.heal()
    world.chaos("status", status=500)
    error = ask(world, "plain")["error"]
    assert (error["kind"], error["status"]) == ("api", 502), error


def a_stream_that_is_cut_everywhere_is_an_error(world):
    world.chaos("cut", after=5)
    given = ask(world, "stream")
    assert given["text"] and given["error"] and given["finish"] is None, given


def a_stream_that_is_left_is_cancelled_upstream(world):
    world.chaos("slow_tokens")
    words = [CLIENT, world.root + "/v1", "chat", "leave"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert json.loads(client.stdout.readline())["chunks"] == 1
        # The client still lives: it is the stream that was dropped, not the process.
        quiet(world, True)
        client.communicate("\n", timeout=PATIENCE)


TESTS = [
    an_answer_is_whole_plain_and_streamed,
    tools_are_called,
    a_region_that_dies_is_never_noticed,
    each_failure_is_the_apis_own_error,
    a_stream_that_is_cut_everywhere_is_an_error,
    a_stream_that_is_left_is_cancelled_upstream,
]

if __name__ == "__main__":
    CLIENT = built()
    main(TESTS)
