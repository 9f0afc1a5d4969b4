"""What the scripts of this folder share: processes of the program, a world of simulated regions, and how tests are run.

Each test has simulated regions and a gateway of its own, in processes of their own, so that no test meets circuits that another
has opened. Nothing waits without a bound. A file whose name begins with an underscore is no script.
"""

import asyncio
import concurrent.futures
import contextlib
import json
import pathlib
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request

PATIENCE = 20.0  # seconds for whatever must come; longer than anything here takes
LAST_WORD = "landfall."  # every whole answer of the simulated regions ends with it
AHOY = [{"role": "user", "content": "ahoy"}]
REGIONS = ["us-east", "eu-west", "ap-southeast"]

PROVIDERS = {"holysheep": "openai", "claude": "anthropic"}
# What the gateway refuses, and how it is brought to do so: each SDK is to raise the error that its users catch.
FAILURES = json.loads((pathlib.Path(__file__).parent / "_failures.json").read_text())


class Program:
    """A process of the program, and the lines that it writes."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.argv[1], *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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

    def __init__(self, stack, server=(), models=(), tables=()):
        sim = Program("sim", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        stack.callback(sim.end)
        urls = {region: sim.url(region) for region in REGIONS}
        self.chaos_url = sim.url("admin") + "/chaos"
        # A first token that is late after a second keeps the test of silence short.
        lines = ["[server]", 'drain = "1s"', *server, "[timeouts]", 'first_token = "1s"', *tables]
        for model, provider, name in [("chat", "holysheep", "gpt-4.1"), ("claude", "claude", "claude-sonnet-4-5")]:
            lines += [f"[models.{model}]", f'targets = [{{ provider = "{provider}", model = "{name}" }}]', *models]
        for provider, dialect in PROVIDERS.items():
            lines += [f"[providers.{provider}]", f'dialect = "{dialect}"']
            for region, url in urls.items():
                lines += [f"[providers.{provider}.regions.{region}]", f'base_url = "{url}"']
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "outrigger.toml"
        config.write_text("\n".join(lines))
        gateway = Program("serve", "--config", str(config), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        stack.callback(gateway.end)
        self.gateway = gateway
        self.root = gateway.url("listening")
        self.gateway_admin = gateway.url("admin")

    def chaos(self, fault, regions=REGIONS, **parameters):
        """Makes regions ill for longer than any test lasts."""
        for region in regions:
            body = json.dumps({"region": region, "fault": fault, "for": "1h", **parameters}).encode()
            request = urllib.request.Request(self.chaos_url, data=body, method="POST")
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                assert answer.status == 200, answer.status

    def cordon(self, method):
        """Takes every place out (POST), or back (DELETE)."""
        for provider in PROVIDERS:
            for region in REGIONS:
                body = json.dumps({"provider": provider, "region": region}).encode()
                request = urllib.request.Request(self.gateway_admin + "/cordon", data=body, method=method)
                request.add_header("content-type", "application/json")
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    assert answer.status in (200, 204), answer.status

    def heal(self):
        request = urllib.request.Request(self.chaos_url, method="DELETE")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 204, answer.status


    def in_flight(self):
        """Calls in flight at all places, as the gateway knows them."""
        with urllib.request.urlopen(self.gateway_admin + "/status", timeout=PATIENCE) as answer:
            return sum(deployment["in_flight"] for deployment in json.load(answer)["deployments"])


def quiet(world, wanted, calls=1):
    """Returns once nothing is in flight, or so many calls are."""
    until = time.monotonic() + PATIENCE
    while world.in_flight() != 0 if wanted else world.in_flight() < calls:
        assert time.monotonic() < until, f"not in time: nothing in flight is {wanted}"
        time.sleep(0.02)


def cancelled(world, ask):
    """Cancels what `ask` begins once it is under way, and returns when nothing is."""

    async def cancel():
        asking = asyncio.ensure_future(ask())
        await asyncio.to_thread(quiet, world, False)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert asking.cancelled()
        await asyncio.to_thread(quiet, world, True)

    asyncio.run(asyncio.wait_for(cancel(), 2 * PATIENCE))


def asking(world, path, body, headers):
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.Request(world.root + path, data=data, headers={"content-type": "application/json", **headers})


def ask(world, path, body=None, headers={}):
    """The status and the bytes of an answer, asked for without any SDK."""
    try:
        with urllib.request.urlopen(asking(world, path, body, headers), timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def ask_broken(world, path, body, headers={}):
    """What came of a stream until it was aborted."""
    got = b""
    with urllib.request.urlopen(asking(world, path, body, headers), timeout=PATIENCE) as answer:
        try:
            while piece := answer.read1():
                got += piece
        except OSError:
            return got
        except Exception as error:  # http.client says IncompleteRead where the last chunk is missing
            assert "IncompleteRead" in repr(error), error
            return got
    raise AssertionError("a cut stream came to a clean end")


def frames(data):
    """What the frames of a stream say, the last one aside."""
    said = [line[6:] for line in data.decode().splitlines() if line.startswith("data: ")]
    return [line for line in said if line != "[DONE]"]


def each_failure(test):
    """Makes a test of what is to be done for each way in which the gateway refuses: `test(world, asked, code, status)`, where
    `asked` is what a caller is to ask with: key, model, prompt and headers."""

    def each(world):
        for failure in FAILURES["failures"]:
            headers = dict(failure.get("headers", {}))
            if "header" in failure:
                headers["x-ballast"] = "a" * failure["header"]
            asked = {
                "key": failure.get("key", "or-any"),
                "model": failure.get("model"),
                "prompt": "ahoy" + " ahoy" * (failure.get("prompt", 0) // 5),
                "headers": headers,
            }
            with contextlib.ExitStack() as stack:
                if "chaos" in failure:
                    world.chaos(**failure["chaos"])
                    stack.callback(world.heal)
                if failure.get("cordoned"):
                    world.cordon("POST")
                    stack.callback(world.cordon, "DELETE")
                for _ in range(failure.get("held", 0)):
                    stack.enter_context(held(world))
                if "held" in failure:
                    quiet(world, False, failure["held"])
                test(world, asked, failure["code"], failure["status"])

    each.__name__ = test.__name__
    each.world = {table: FAILURES[table] for table in ["server", "models", "tables"]}
    return each


def held(world):
    """A call that goes on until it is left."""
    host, port = world.root.removeprefix("http://").split(":")
    body = json.dumps({"model": "chat", "messages": AHOY})
    head = f"host: {host}\r\nauthorization: Bearer or-any\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    call = socket.create_connection((host, int(port)), timeout=PATIENCE)
    call.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n\r\n{body}".encode())
    return call


def cut_by_the_end(world, read):
    """Ends the gateway while `read` reads a slow answer, for which the time to drain is too short. It must raise, and raises on."""
    world.chaos("slow_tokens")
    with concurrent.futures.ThreadPoolExecutor(1) as readers:
        reading = readers.submit(read)
        quiet(world, False)
        world.gateway.process.terminate()
        return reading.result(PATIENCE)


def near(region):
    """What a caller who stands there sends along."""
    return {"x-outrigger-region": region}


def raised(kind, base, ask):
    """The error of exactly this class, of an SDK's errors with this base, that `ask` must raise."""
    try:
        answer = ask()
    except base as error:
        assert type(error) is kind, f"{kind.__name__} was expected, not {error!r}"
        return error
    raise AssertionError(f"{kind.__name__} was expected, not {answer!r}")


def main(tests):
    """Runs the tests, prints a line each and `N passed, M failed`, and ends with 1 if any failed."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {pathlib.Path(sys.argv[0]).name} PROGRAM")
    passed = failed = 0
    for test in tests:
        try:
            with contextlib.ExitStack() as stack:
                test(World(stack, **getattr(test, "world", {})))
        except Exception:  # whatever went wrong is this test's failure, and the others are run all the same
            failed += 1
            print(f"FAILED {test.__name__}\n{traceback.format_exc()}", flush=True)
        else:
            passed += 1
            print(f"ok {test.__name__}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
