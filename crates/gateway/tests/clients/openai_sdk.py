"""OpenAI's Python SDK against the real gateway: only `base_url` differs from what its users write.

Run as `openai_sdk.py PROGRAM`, with the path of a built `outrigger`. Each test has simulated regions and a gateway of its
own, in processes of their own, so that no test meets circuits that another has opened. Prints a line a test, closes with
`N passed, M failed`, and exits with 1 if any failed. Nothing waits without a bound.
"""

import asyncio
import contextlib
import json
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

import openai

PATIENCE = 20.0  # seconds for whatever must come; longer than anything here takes
LAST_WORD = "landfall."  # every whole answer of the simulated regions ends with it
AHOY = [{"role": "user", "content": "ahoy"}]
REGIONS = ["us-east", "eu-west", "ap-southeast"]


class Program:
    """A process of the program, and the lines that it writes."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines = queue.Queue()
        self.seen = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def url(self, name):
        """The URL on the line that begins with `name`."""
        until = time.monotonic() + PATIENCE
        while True:
            line = self.lines.get(timeout=max(0.0, until - time.monotonic()))
            if line is None:
                raise RuntimeError(f"the program ended before it said `{name}`: {self.seen}")
            self.seen.append(line)
            if line.startswith(f"{name} http://"):
                return line.split(" ", 1)[1]

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE)


class World:
    """Simulated regions with a gateway before them."""

    def __init__(self, stack):
        sim = Program("sim", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        stack.callback(sim.end)
        urls = {region: sim.url(region) for region in REGIONS}
        self.chaos_url = sim.url("admin") + "/chaos"
        # A first token that is late after a second keeps the test of silence short.
        text = '[server]\ndrain = "1s"\n[timeouts]\nfirst_token = "1s"\n[providers.holysheep]\ndialect = "openai"\n'
        for region, url in urls.items():
            text += f'[providers.holysheep.regions.{region}]\nbase_url = "{url}"\n'
        text += '[models.chat]\ntargets = [{ provider = "holysheep", model = "gpt-4.1" }]\n'
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "outrigger.toml"
        config.write_text(text)
        gateway = Program("serve", "--config", str(config), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        stack.callback(gateway.end)
        self.base_url = gateway.url("listening") + "/v1"

    def chaos(self, fault, regions=REGIONS, **parameters):
        """Makes regions ill for longer than any test lasts."""
        for region in regions:
            body = json.dumps({"region": region, "fault": fault, "for": "1h", **parameters}).encode()
            request = urllib.request.Request(self.chaos_url, data=body, method="POST")
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                assert answer.status == 200, answer.status

    def heal(self):
        request = urllib.request.Request(self.chaos_url, method="DELETE")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 204, answer.status

    def client(self, kind=openai.OpenAI, **options):
        return kind(base_url=self.base_url, api_key="none", **{"timeout": PATIENCE, **options})


def near(region):
    """What a caller who stands there sends along."""
    return {"x-outrigger-region": region}


def raised(kind, ask):
    """The error of exactly this class that `ask` must raise."""
    try:
        answer = ask()
    except openai.OpenAIError as error:
        assert type(error) is kind, f"{kind.__name__} was expected, not {error!r}"
        return error
    raise AssertionError(f"{kind.__name__} was expected, not {answer!r}")


def read(stream):
    """The text of a stream that comes to its end."""
    chunks = list(stream)
    assert any(chunk.choices and chunk.choices[0].finish_reason == "stop" for chunk in chunks), "no finish reason"
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def a_plain_answer_is_the_sdks_own_object(world):
    answer = world.client().chat.completions.create(model="chat", messages=AHOY)
    assert answer.choices[0].message.content.endswith(LAST_WORD)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.model == "gpt-4.1", "the provider's own name of it"


def a_stream_comes_chunk_by_chunk_with_its_usage(world):
    stream = world.client().chat.completions.create(
        model="chat", messages=AHOY, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.endswith(LAST_WORD) and len(chunks) > 10
    assert chunks[-1].usage.completion_tokens > 0


def plain_and_streamed_answers_are_the_same(world):
    client = world.client()
    plain = client.chat.completions.create(model="chat", messages=AHOY).choices[0].message.content
    with client.chat.completions.stream(model="chat", messages=AHOY) as stream:
        assert stream.get_final_completion().choices[0].message.content == plain


def a_request_has_an_id_and_an_origin(world):
    raw = world.client().chat.completions.with_raw_response.create(model="chat", messages=AHOY, extra_headers=near("eu-west"))
    answer = raw.parse()
    assert answer._request_id and answer._request_id == raw.headers["x-request-id"]
    assert raw.headers["x-outrigger-provider"] == "holysheep"
    assert raw.headers["x-outrigger-region"] in REGIONS
    assert raw.headers["x-outrigger-attempts"] == "1"


def the_models_are_listed(world):
    client = world.client()
    assert [model.id for model in client.models.list()] == ["chat"]
    assert client.models.retrieve("chat").id == "chat"
    raised(openai.NotFoundError, lambda: client.models.retrieve("gone"))


def a_region_that_dies_in_between_is_never_noticed(world):
    client = world.client(max_retries=0)  # what is rescued is rescued by the gateway
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
        async with world.client(openai.AsyncOpenAI, max_retries=0) as client:
            await asyncio.gather(*(one(client, turn) for turn in range(30)))
            world.chaos("reset", ["us-east"])
            await asyncio.gather(*(one(client, turn) for turn in range(60)))

    asyncio.run(asyncio.wait_for(all_of_them(), 2 * PATIENCE))


def a_region_that_is_silent_before_its_first_word_is_left(world):
    world.chaos("silent", ["us-east"])
    client = world.client(max_retries=0)
    stream = client.chat.completions.create(model="chat", messages=AHOY, stream=True, extra_headers=near("us-east"))
    assert read(stream).endswith(LAST_WORD)


def an_unknown_model_is_not_found(world):
    error = raised(
        openai.NotFoundError, lambda: world.client().chat.completions.create(model="gone", messages=AHOY)
    )
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert error.request_id


def a_callers_fault_is_a_bad_request(world):
    client = world.client()
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
        openai.RateLimitError, lambda: world.client().chat.completions.create(model="chat", messages=AHOY)
    )
    assert error.code == "rate_limit_exceeded"
    assert error.response.headers["retry-after"] == "60"
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.request.headers["x-stainless-retry-count"] == "0", "so the SDK did not try again"


def what_the_gateway_could_not_save_is_not_tried_again_by_the_sdk(world):
    world.chaos("status", status=500)
    client = world.client(max_retries=2)
    for stream in [False, True]:
        error = raised(
            openai.InternalServerError,
            lambda: client.chat.completions.create(model="chat", messages=AHOY, stream=stream),
        )
        assert error.status_code in (502, 503), error
        assert error.response.request.headers["x-stainless-retry-count"] == "0"


def the_gateway_answers_before_the_sdks_patience_ends(world):
    world.chaos("silent")
    client = world.client(max_retries=0, timeout=2.0)
    error = raised(
        openai.InternalServerError, lambda: client.chat.completions.create(model="chat", messages=AHOY)
    )
    assert (error.status_code, error.code) == (504, "deadline_exceeded")


def a_stream_that_is_cut_in_one_region_is_read_whole(world):
    client = world.client(max_retries=0)
    options = {"model": "chat", "messages": AHOY, "stream": True, "extra_headers": near("us-east")}
    undisturbed = read(client.chat.completions.create(**options))
    world.chaos("cut", ["us-east"], after=5)
    chunks = list(client.chat.completions.create(**options))
    assert read(chunks) == undisturbed
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1, "one stream to its reader"
    rescued = [chunk for chunk in chunks if (chunk.model_extra or {}).get("rescued")]
    assert len(rescued) == 1, "and it says that it was rescued"


def a_stream_that_is_cut_is_gathered_whole_by_the_sdk(world):
    world.chaos("cut", ["us-east"], after=5)
    with world.client(max_retries=0).chat.completions.stream(
        model="chat", messages=AHOY, stream_options={"include_usage": True}, extra_headers=near("us-east")
    ) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content.endswith(LAST_WORD)
    assert completion.choices[0].finish_reason == "stop" and completion.usage.completion_tokens > 0


def a_stream_that_is_cut_everywhere_raises(world):
    world.chaos("cut", after=5)
    stream = world.client(max_retries=0).chat.completions.create(model="chat", messages=AHOY, stream=True)
    chunks = []
    try:
        for chunk in stream:
            chunks.append(chunk)
    except (openai.APIError, openai.APIConnectionError) as error:
        assert chunks, f"its beginning was given before {error!r}"
        return
    raise AssertionError("a cut stream was taken for an answer")


def a_client_recovers_with_its_regions(world):
    world.chaos("rate_limit", retry_after=1)
    client = world.client(max_retries=0)
    error = raised(openai.RateLimitError, lambda: client.chat.completions.create(model="chat", messages=AHOY))
    assert float(error.response.headers["retry-after"]) <= 1.0
    world.heal()
    # With its own retries the SDK waits for as long as it is told, and is answered then.
    answer = world.client(max_retries=2).chat.completions.create(model="chat", messages=AHOY)
    assert answer.choices[0].message.content.endswith(LAST_WORD)


TESTS = [
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
    a_client_recovers_with_its_regions,
]


def main():
    passed = failed = 0
    for test in TESTS:
        try:
            with contextlib.ExitStack() as stack:
                test(World(stack))
        except Exception:  # whatever went wrong is this test's failure, and the others are run all the same
            failed += 1
            print(f"FAILED {test.__name__}\n{traceback.format_exc()}", flush=True)
        else:
            passed += 1
            print(f"ok {test.__name__}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: openai_sdk.py PROGRAM")
    PROGRAM = sys.argv[1]
    sys.exit(main())
