"""What the scripts of this folder share: processes of the program, a world of simulated regions, and how tests are run.

Each test has simulated regions and a gateway of its own, in processes of their own, so that no test meets circuits that another
has opened. Nothing waits without a bound. A file whose name begins with an underscore is no script.
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

PATIENCE = 20.0  # seconds for whatever must come; longer than anything here takes
LAST_WORD = "landfall."  # every whole answer of the simulated regions ends with it
AHOY = [{"role": "user", "content": "ahoy"}]
REGIONS = ["us-east", "eu-west", "ap-southeast"]


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

    def __init__(self, stack):
        sim = Program("sim", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        stack.callback(sim.end)
        urls = {region: sim.url(region) for region in REGIONS}
        self.chaos_url = sim.url("admin") + "/chaos"
        # A first token that is late after a second keeps the test of silence short.
        text = '[server]\ndrain = "1s"\n[timeouts]\nfirst_token = "1s"\n'
        for provider, dialect in [("holysheep", "openai"), ("claude", "anthropic")]:
            text += f'[providers.{provider}]\ndialect = "{dialect}"\n'
            for region, url in urls.items():
                text += f'[providers.{provider}.regions.{region}]\nbase_url = "{url}"\n'
        text += '[models.chat]\ntargets = [{ provider = "holysheep", model = "gpt-4.1" }]\n'
        text += '[models.claude]\ntargets = [{ provider = "claude", model = "claude-sonnet-4-5" }]\n'
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "outrigger.toml"
        config.write_text(text)
        gateway = Program("serve", "--config", str(config), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        stack.callback(gateway.end)
        self.root = gateway.url("listening")
        self.gateway_admin = gateway.url("admin")

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


    def in_flight(self):
        """Calls in flight at all places, as the gateway knows them."""
        with urllib.request.urlopen(self.gateway_admin + "/status", timeout=PATIENCE) as answer:
            return sum(deployment["in_flight"] for deployment in json.load(answer)["deployments"])


def quiet(world, wanted):
    """Returns once nothing is in flight, or something is."""
    until = time.monotonic() + PATIENCE
    while (world.in_flight() == 0) != wanted:
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
                test(World(stack))
        except Exception:  # whatever went wrong is this test's failure, and the others are run all the same
            failed += 1
            print(f"FAILED {test.__name__}\n{traceback.format_exc()}", flush=True)
        else:
            passed += 1
            print(f"ok {test.__name__}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
