// What the browser's tests share: the program, the browser, and waiting for a condition and for no longer than a bound.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const modules = createRequire(join(process.env.OUTRIGGER_BROWSER_MODULES ?? process.cwd(), "package.json"));
const { chromium } = modules("playwright-core");

export const axe = modules.resolve("axe-core/axe.min.js");

/** Longer than anything here takes; what takes so long has failed. */
export const PATIENCE = 20_000;

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const running = new Set();

/** Starts the program and waits until it says where its operators come in. */
export async function start(program, words) {
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const gone = new Promise((resolve) => child.once("exit", resolve));
  gone.then(() => running.delete(child));
  const said = [];
  const first = new Promise((resolve) => createInterface({ input: child.stdout }).on("line", resolve));
  const lines = createInterface({ input: child.stderr });
  let listen = null;
  const admin = await new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      said.push(line);
      if (line.startsWith("listening http://")) listen = line.slice("listening ".length);
      if (line.startsWith("admin http://")) resolve(line.slice("admin ".length));
    });
    gone.then(() => reject(new Error(`${program} ${words.join(" ")} ended:\n${said.join("\n")}`)));
    setTimeout(() => reject(new Error(`${program} does not say where it is`)), PATIENCE).unref();
  });
  return {
    admin,
    listen,
    /** The first line of its results. */
    first,
    async end() {
      child.kill("SIGKILL");
      await gone;
    },
  };
}

/** The browser, with a profile of its own that is gone afterwards. */
export async function browser() {
  const profile = mkdtempSync(join(tmpdir(), "outrigger-browser-"));
  const executablePath = process.env.OUTRIGGER_CHROMIUM ?? "/usr/bin/chromium";
  const running = await chromium.launch({ executablePath, args: [...FLAGS, `--crash-dumps-dir=${profile}`] });
  return {
    running,
    async end() {
      await running.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** A page at an address, with what it complained of and whom it asked. */
export async function open(chromium, url, options = {}) {
  const context = await chromium.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const seen = { complaints: [], strangers: [], statuses: 0 };
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  const origin = new URL(url).origin;
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (asked.origin !== origin) seen.strangers.push(request.url());
    if (asked.pathname === "/status") seen.statuses += 1;
  });
  if (options.before) await options.before(page);
  await page.goto(url);
  return { page, seen, close: () => context.close() };
}

/** Waits until the page says so; the text of the condition is the error's. */
export async function until(page, what, condition, argument) {
  try {
    await page.waitForFunction(condition, argument, { timeout: PATIENCE, polling: 50 });
  } catch (error) {
    throw new Error(`it never came that ${what}: ${error.message.split("\n")[0]}`);
  }
}

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

/** What is left when a test dies is ended with it. */
export function sweep() {
  for (const child of running) child.kill("SIGKILL");
}
