// What the Node scripts of this folder share: processes of the program, a world of simulated regions, and how tests are run.
//
// Each test has simulated regions and a gateway of its own. Nothing waits without a bound. What begins with an underscore is no script.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const PATIENCE = 20_000; // ms for whatever must come; longer than anything here takes
export const LAST_WORD = "landfall."; // every whole answer of the simulated regions ends with it
export const AHOY = [{ role: "user", content: "ahoy" }];
export const REGIONS = ["us-east", "eu-west", "ap-southeast"];
// What the gateway refuses, and how it is brought to do so: each SDK is to raise the error that its users catch.
const FAILURES = JSON.parse(readFileSync(new URL("./_failures.json", import.meta.url)));

/** What comes in time, or an error that says what did not. */
export function within(what, promise, time = PATIENCE) {
  let timer;
  const late = new Promise((_, refuse) => {
    timer = setTimeout(() => refuse(new Error(`not in time: ${what}`)), time);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A process of the program, and the addresses that it tells. */
class Program {
  constructor(...words) {
    this.process = spawn(process.argv[2], words, { stdio: ["ignore", "pipe", "pipe"] });
    this.text = "";
    this.waiting = new Set();
    const hear = (data) => {
      this.text += data;
      for (const look of this.waiting) look();
    };
    this.process.stdout.on("data", hear);
    this.process.stderr.on("data", hear);
    this.ended = new Promise((end) => this.process.on("exit", end));
  }

  /** The URL on the line that begins with `name`. */
  url(name) {
    const found = new Promise((give) => {
      const look = () => {
        const line = this.text.match(new RegExp(`^${name} (http://\\S+)\\n`, "m"));
        if (line) {
          this.waiting.delete(look);
          give(line[1]);
        }
      };
      this.waiting.add(look);
      look();
    });
    const gone = this.ended.then(() => Promise.reject(new Error(`the program ended before it said ${name}: ${this.text}`)));
    return within(`the line ${name}`, Promise.race([found, gone]));
  }

  async end() {
    this.process.kill("SIGTERM");
    await within("the end of the program", this.ended).catch(() => this.process.kill("SIGKILL"));
  }
}

/** Simulated regions with a gateway before them. */
class World {
  static async begin(undo, { server = [], models = [], tables = [] } = {}) {
    const world = new World();
    const sim = new Program("sim", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0");
    undo.push(() => sim.end());
    const lines = ["[server]", 'drain = "1s"', ...server, "[timeouts]", 'first_token = "1s"', ...tables];
    lines.push("[providers.holysheep]", 'dialect = "openai"');
    for (const region of REGIONS) {
      lines.push(`[providers.holysheep.regions.${region}]`, `base_url = "${await sim.url(region)}"`);
    }
    lines.push("[models.chat]", 'targets = [{ provider = "holysheep", model = "gpt-4.1" }]', ...models);
    world.admin = await sim.url("admin");
    const folder = mkdtempSync(join(tmpdir(), "outrigger-"));
    undo.push(() => rmSync(folder, { recursive: true }));
    const config = join(folder, "outrigger.toml");
    writeFileSync(config, lines.join("\n"));
    const gateway = new Program("serve", "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0");
    undo.push(() => gateway.end());
    world.gateway = gateway;
    world.root = await gateway.url("listening");
    world.gatewayAdmin = await gateway.url("admin");
    return world;
  }

  /** Makes regions ill for longer than any test lasts. */
  async chaos(fault, { regions = REGIONS, ...parameters } = {}) {
    for (const region of regions) {
      const body = JSON.stringify({ region, fault, for: "1h", ...parameters });
      const answer = await fetch(`${this.admin}/chaos`, { method: "POST", body, headers: { "content-type": "application/json" } });
      assert.equal(answer.status, 200, await answer.text());
    }
  }

  /** Takes every place out (POST), or back (DELETE). */
  async cordon(method) {
    for (const region of REGIONS) {
      const body = JSON.stringify({ provider: "holysheep", region });
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${this.gatewayAdmin}/cordon`, { method, body, headers });
      assert.ok(answer.ok, await answer.text());
    }
  }

  async heal() {
    const answer = await fetch(`${this.admin}/chaos`, { method: "DELETE" });
    assert.equal(answer.status, 204);
  }

  /** Calls in flight at all places, as the gateway knows them. */
  async inFlight() {
    const status = await (await fetch(`${this.gatewayAdmin}/status`)).json();
    return status.deployments.reduce((sum, deployment) => sum + deployment.in_flight, 0);
  }
}

/** Returns once a condition holds. */
export async function until(what, holds) {
  const end = Date.now() + PATIENCE;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `not in time: ${what}`);
    await new Promise((go) => setTimeout(go, 20));
  }
}

/** A call that goes on until it is left. */
function held(world) {
  const { hostname, port, host } = new URL(world.root);
  const body = JSON.stringify({ model: "chat", messages: AHOY });
  const head = `host: ${host}\r\nauthorization: Bearer or-any\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`;
  const call = connect(Number(port), hostname);
  call.on("error", () => {});
  call.write(`POST /v1/chat/completions HTTP/1.1\r\n${head}\r\n\r\n${body}`);
  return call;
}

/**
 * Makes a test of what is to be done for each way in which the gateway refuses: `test(world, asked, code, status)`, where `asked` is
 * what a caller is to ask with: key, model, prompt and headers.
 */
export function eachFailure(test) {
  const each = async (world) => {
    for (const failure of FAILURES.failures) {
      const { code, status, key = "or-any", model = "chat", prompt = 0, header = 0, held: calls = 0 } = failure;
      const headers = { ...failure.headers, ...(header && { "x-ballast": "a".repeat(header) }) };
      if (failure.chaos) await world.chaos(failure.chaos.fault, failure.chaos);
      if (failure.cordoned) await world.cordon("POST");
      const calling = Array.from({ length: calls }, () => held(world));
      if (calls) await until("calls are held", async () => (await world.inFlight()) >= calls);
      await test(world, { key, model, headers, prompt: `ahoy${" ahoy".repeat(prompt / 5)}` }, code, status);
      for (const call of calling) call.destroy();
      if (failure.cordoned) await world.cordon("DELETE");
      if (failure.chaos) await world.heal();
    }
  };
  Object.defineProperty(each, "name", { value: test.name });
  return Object.assign(each, { world: FAILURES });
}

/** Ends the gateway while `read` reads a slow answer, for which the time to drain is too short. */
export async function cutByTheEnd(world, read) {
  await world.chaos("slow_tokens");
  const reading = read();
  await until("an answer is read", async () => (await world.inFlight()) > 0);
  world.gateway.process.kill("SIGTERM");
  return reading;
}

/** The error that `ask` must raise. */
export async function raised(ask) {
  let answer;
  try {
    answer = await ask();
  } catch (error) {
    return error;
  }
  assert.fail(`an error was expected, not ${JSON.stringify(answer)?.slice(0, 300)}`);
}

/** Runs the tests, prints a line each and `N passed, M failed`, and ends with 1 if any failed. */
export async function main(tests) {
  let [passed, failed] = [0, 0];
  for (const test of tests) {
    const undo = [];
    try {
      await within(test.name, World.begin(undo, test.world).then(test), 3 * PATIENCE);
      passed += 1;
      console.log(`ok ${test.name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${test.name}\n${error?.stack ?? error}`);
    }
    for (const step of undo.reverse()) await step();
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}
