// The dashboard in a real browser, before the real program: `node dashboard.mjs PROGRAM [--screenshot FILE]`.

import { execFileSync } from "node:child_process";
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { axe, browser, check, open, start, sweep, until } from "./_world.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const [program, ...flags] = process.argv.slice(2);
const picture = flags[0] === "--screenshot" ? flags[1] : null;
const ANY = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
const DEMO = ["demo", "--json", "--keep", "--seconds", "600", "--scenario", join(here, "calm.toml")];

const live = (page) => until(page, "the page is live", () => document.querySelector("#link").dataset.state === "live");
const state = (region) => `.flow .region[data-state]:has(title:text-is("holysheep/${region}"))`;
const row = (page, region) => page.locator(".places tbody tr", { hasText: region });
const chaos = (world, body) => fetch(`${world.admin}/chaos`, { method: "POST", body: JSON.stringify(body) });
const heal = (world) => fetch(`${world.admin}/chaos`, { method: "DELETE" });

/** Asks one region and no other until its circuit opens: whether it would open by itself before the traffic turns away is chance. */
async function insist(world, region) {
  const body = JSON.stringify({ model: "gpt-4.1", messages: [{ role: "user", content: "ahoy" }] });
  const headers = { "content-type": "application/json", "x-outrigger-residency": region };
  for (let asked = 0; asked < 40; asked += 1) {
    const { deployments } = await (await fetch(`${world.admin}/status`)).json();
    if (deployments.find((place) => place.region === region).breaker === "open") return;
    await (await fetch(`${world.listen}/v1/chat/completions`, { method: "POST", headers, body })).text();
  }
}

/** Whether the table says of a region's circuit what is expected. */
const circuit = (page, region, word) =>
  until(page, `${region} is ${word}`, ([region, word]) => {
    const rows = [...document.querySelectorAll(".places tbody tr")];
    return rows.some((row) => row.querySelector("strong").textContent === region && row.querySelector(".circuit .badge").textContent.endsWith(word));
  }, [region, word]);

const moving = (page, region, yes) =>
  until(page, `traffic ${yes ? "flows" : "no longer flows"} to ${region}`, ([key, yes]) => {
    const link = document.querySelector(`.flow .link[data-key="${key}"]`);
    return link && (link.dataset.moving === "true") === yes;
  }, [`holysheep/${region}`, yes]);

/** The pairs of texts of the page of which one lies over the other, as far as they are seen. Runs in the page. */
function overlapping() {
  const seen = (rect, element) => {
    if (!element || rect === null) return rect;
    const style = getComputedStyle(element);
    if (style.clipPath !== "none") return null;
    if (style.overflow === "visible") return seen(rect, element.parentElement);
    const frame = element.getBoundingClientRect();
    const [left, right] = [Math.max(rect.left, frame.left), Math.min(rect.right, frame.right)];
    const [top, bottom] = [Math.max(rect.top, frame.top), Math.min(rect.bottom, frame.bottom)];
    return left < right && top < bottom ? seen({ left, right, top, bottom }, element.parentElement) : null;
  };
  const texts = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const { data, parentElement: parent } = walk.currentNode;
    if (!data.trim() || !parent.checkVisibility() || parent.closest(".skip, title")) continue;
    const range = document.createRange();
    range.selectNodeContents(walk.currentNode);
    const rects = [...range.getClientRects()].map((rect) => seen(rect, parent)).filter((rect) => rect !== null);
    texts.push(...rects.map((rect) => ({ text: data.trim(), rect })));
  }
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  const over = (one, place) => texts.slice(place + 1).filter((other) => meet(one.rect, other.rect)).map((other) => `${one.text} and ${other.text}`);
  return texts.flatMap(over);
}

/** A gateway with two callers' keys before simulated regions, and how its first caller asks. */
async function keyed() {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-keys-"));
  const simulator = await start(program, ["sim", "--json", ...ANY]);
  const { regions } = JSON.parse(await simulator.first);
  const made = (name) => JSON.parse(execFileSync(program, ["keys", "new", name, "--json"], { encoding: "utf8" }));
  const [one, two] = [made("team-a"), made("team-b")];
  const lines = regions.map(({ region, base_url: url }) => `[providers.holysheep.regions.${region}]\nbase_url = "${url}"\n`);
  const file = join(folder, "keys.toml");
  writeFileSync(
    file,
    `${one.entry}budget_usd = { amount = 0.001, every = "1d" }\n${two.entry}[providers.holysheep]\ndialect = "openai"\napi_key = "none"\n${lines.join("")}` +
      `[models.chat]\ntargets = [{ provider = "holysheep", model = "gpt-4.1" }]\nrouting = { preferred_region = "us-east" }\n`,
  );
  const gateway = await start(program, ["serve", ...ANY, "--config", file]);
  return {
    gateway,
    simulator,
    /** Asks, by default what can be answered. */
    async ask(messages = [{ role: "user", content: "ahoy" }], status = 200) {
      const headers = { "content-type": "application/json", authorization: `Bearer ${one.key}` };
      const body = JSON.stringify({ model: "chat", messages });
      const answer = await fetch(`${gateway.listen}/v1/chat/completions`, { method: "POST", headers, body });
      check(answer.status === status, `the call gets ${status}: ${await answer.text()}`);
    },
    async end() {
      await gateway.end();
      await simulator.end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const tests = {
  async "the page shows every region and asks nobody but the gateway"({ chromium, world }) {
    const { page, seen, close } = await open(chromium, world.admin);
    await live(page);
    await until(page, "requests are counted", () => Number(document.querySelector("#ok").textContent.replaceAll(",", "")) > 5);
    check((await page.locator(".places tbody tr").count()) === 3, "there are three rows");
    check((await page.locator(".flow .region").count()) === 3, "there are three regions in the picture");
    for (const region of ["us-east", "eu-west", "ap-southeast"]) await circuit(page, region, "closed");
    await until(page, "what callers without a key have spent is told", () => document.querySelector("#spend-table tbody th")?.textContent.startsWith("No key"));
    check((await page.locator("h1").count()) === 1 && (await page.locator("main").count()) === 1, "one heading, one main part");
    await close();
    check(seen.complaints.length === 0, `the console is silent: ${seen.complaints.join("; ")}`);
    check(seen.strangers.length === 0, `nobody else is asked: ${seen.strangers.join(", ")}`);
  },

  async "what a key has spent appears, of its budget, and grows with its next call"({ chromium }) {
    const { gateway, ask, end } = await keyed();
    const { page, seen, close } = await open(chromium, gateway.admin);
    await live(page);
    const team = page.locator("#spend-table table", { hasText: "By caller's key" }).locator("tbody tr", { hasText: "team-a" });
    await team.waitFor();
    check((await team.textContent()).includes("$0 of $0.001"), "a key has its line before it has spent anything");
    check((await page.locator("#spend-table tbody tr", { hasText: "team-b" }).textContent()).includes("no budget"), "one without a budget says so");
    check((await page.locator("#spend-table").textContent()).includes("Nothing has been spent today."), "that nothing was spent is said");
    check((await page.textContent("#spend-kept")).includes("forgotten at a restart"), "and where it is kept");
    await ask();
    await until(page, "the call is seen", () => [...document.querySelectorAll("#spend-table tbody th strong")].some((name) => name.textContent === "chat"));
    const amount = () => team.locator("td").first().textContent();
    const [before, share] = [await amount(), await team.locator(".bar > span").evaluate((bar) => parseFloat(bar.style.width))];
    check(before !== "$0" && share > 0, `something was spent: ${before}, ${share} %`);
    await ask();
    await until(page, "the sum has grown", ([before]) => [...document.querySelectorAll("#spend-table tbody tr")].some((row) => row.textContent.startsWith("team-a") && row.querySelector("td").textContent !== before), [before]);
    check((await team.locator(".bar > span").evaluate((bar) => parseFloat(bar.style.width))) > share, "and its bar too");
    await close();
    await end();
    check(seen.complaints.length === 0, `the console is silent: ${seen.complaints.join("; ")}`);
  },

  async "a fault of a caller's own is no failure"({ chromium }) {
    const { gateway, simulator, ask, end } = await keyed();
    await ask();
    await ask([], 400);
    const { page, close } = await open(chromium, gateway.admin);
    await until(page, "both are told", () => document.querySelector("#failed-note").textContent.endsWith("1 refused"));
    const tile = () => page.locator("#failed").evaluate((node) => [node.textContent, node.dataset.state].join(" "));
    check((await tile()) === "0 closed" && (await page.textContent("#ok-note")).startsWith("100 %"), `nothing failed: ${await tile()}, ${await page.textContent("#ok-note")}`);
    for (const region of ["us-east", "eu-west", "ap-southeast"]) await chaos(simulator, { region, fault: "overloaded", for: "5m" });
    await ask(undefined, 502);
    await until(page, "one failed", () => document.querySelector("#failed").textContent === "1" && document.querySelector("#failed").dataset.state === "open");
    await close();
    await end();
  },

  async "who opens the page after an incident sees what happened"({ chromium }) {
    const { gateway, simulator, ask, end } = await keyed();
    await chaos(simulator, { region: "us-east", fault: "overloaded", for: "5m" });
    for (let asked = 0; asked < 3; asked += 1) await ask();
    const { page, close } = await open(chromium, gateway.admin);
    await live(page);
    const told = page.locator('#journal-list li[data-kind="failover"]', { hasText: "us-east →" }).filter({ hasText: "overloaded" }).first();
    await told.waitFor();
    const when = new Date(await told.locator("time").getAttribute("datetime"));
    check(Date.now() - when < 60_000 && when <= new Date(), "and when");
    check(await page.locator("#journal-empty").isHidden(), "nothing says that nothing happened");
    const times = await page.locator("#journal-list li").count();
    await page.reload();
    await told.waitFor();
    check((await page.locator("#journal-list li").count()) === times, "and each line once");
    await close();
    await end();
  },

  async "a place that its provider refuses is out, and says why"({ chromium }) {
    const { gateway, simulator, ask, end } = await keyed();
    await chaos(simulator, { region: "us-east", fault: "bad_key", for: "5m" });
    await ask();
    const { page, close } = await open(chromium, gateway.admin);
    await live(page);
    await until(page, "it is not counted as available", () => document.querySelector("#flight-note").textContent.startsWith("2 of 3 "));
    check((await row(page, "us-east").locator(".circuit").textContent()).includes("out: credential"), "the reason is told");
    check((await page.locator(state("us-east")).getAttribute("data-state")) === "open", "the picture says so too");
    await close();
    await end();
  },

  async "a region that dies is seen: its circuit opens, the flow moves, the failover is told"({ chromium, world }) {
    const { page, seen, close } = await open(chromium, world.admin);
    await live(page);
    await page.waitForSelector('.flow .link[data-moving="true"]:not([data-key="in"])', { state: "attached" });
    // The one with the most traffic, so that many calls meet its fate.
    const region = await page.evaluate(() => {
      const links = [...document.querySelectorAll('.flow .link:not([data-key="in"])')];
      const widest = links.sort((one, other) => Number(other.dataset.wide) - Number(one.dataset.wide))[0];
      return widest.dataset.key.split("/")[1];
    });
    await page.selectOption("#chaos-region", region);
    await page.selectOption("#chaos-fault", "reset");
    await page.selectOption("#chaos-for", "5m");
    await page.click("text=Break it");
    await until(page, "the panel says what is wrong", () => document.querySelector(".troubles [data-broken=true]")?.textContent.includes("reset"));
    await insist(world, region);
    await circuit(page, region, "open");
    check((await row(page, region).locator(".circuit").textContent()).includes("level:"), "the level of the circuit is named");
    await moving(page, region, false);
    check((await page.locator(state(region)).getAttribute("data-state")) === "open", "the picture says so too");
    check((await page.locator('.flow .link[data-moving="true"]:not([data-key="in"])').count()) > 0, "the others carry the traffic");
    // A busy machine may have made others slow before.
    const told = page.locator('#journal-list li[data-kind="failover"]', { hasText: `${region} →` }).filter({ hasText: "failover: reset" }).first();
    await told.waitFor();
    check(Date.now() - new Date(await told.locator("time").getAttribute("datetime")) < 60_000, "the failover is told with its reason, and when it was");
    await until(page, "it is said aloud", () => document.querySelector("#announcer").textContent !== "");
    check((await page.getAttribute("#announcer", "aria-live")) === "polite", "politely");
    await page.click("text=Heal all");
    await until(page, "nothing is wrong any more", () => !document.querySelector(".troubles [data-broken=true]"));
    await close();
    check(seen.complaints.length === 0, `the console is silent: ${seen.complaints.join("; ")}`);
  },

  async "a cordon is asked for twice and seen once it holds"({ chromium, world }) {
    const { page, close } = await open(chromium, world.admin);
    await live(page);
    const button = row(page, "eu-west").locator("button");
    await button.focus();
    await page.keyboard.press("Enter");
    await page.waitForSelector("#ask[open]");
    check(await page.evaluate(() => document.querySelector("#ask").contains(document.activeElement)), "the focus is in the question");
    await page.keyboard.press("Escape");
    await page.waitForSelector("#ask:not([open])", { state: "attached" });
    check((await button.textContent()) === "Cordon", "nothing was done");
    check(await button.evaluate((node) => node === document.activeElement), "the focus is back");
    await button.click();
    await page.selectOption("#ask-for", "1h");
    await page.click("#ask-yes");
    await until(page, "it is cordoned", () => [...document.querySelectorAll(".places .circuit")].some((cell) => cell.textContent.includes("cordoned")));
    await moving(page, "eu-west", false);
    await page.waitForSelector('#journal-list li[data-kind="cordon"]');
    check((await button.textContent()) === "Uncordon", "the button puts it back");
    await button.click();
    await page.click("#ask-yes");
    await until(page, "it is back", () => ![...document.querySelectorAll(".places .circuit")].some((cell) => cell.textContent.includes("cordoned")));
    await close();
  },

  async "everything can be reached by keyboard, and is seen when it has the focus"({ chromium, world }) {
    const { page, close } = await open(chromium, world.admin);
    await live(page);
    await page.waitForSelector("#chaos-panel form");
    const wanted = await page.evaluate(() => [...document.querySelectorAll("a[href], button, select")].filter((node) => node.checkVisibility() && !node.closest("dialog")).length);
    const reached = new Set();
    for (let step = 0; step < wanted + 5; step += 1) {
      await page.keyboard.press("Tab");
      const focus = await page.evaluate(() => {
        const node = document.activeElement;
        if (!node || node === document.body) return null;
        window.order ??= new Map();
        if (!window.order.has(node)) window.order.set(node, window.order.size);
        const style = getComputedStyle(node);
        const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        return { number: window.order.get(node), name: node.id || node.textContent, seen };
      });
      if (!focus) continue;
      check(focus.seen, `${focus.name} shows that it has the focus`);
      if (step === 0) check(focus.name.startsWith("Skip"), "the way past the header comes first");
      reached.add(focus.number);
    }
    check(reached.size >= wanted, `${reached.size} of ${wanted} are reached`);
    await close();
  },

  async "no rule of accessibility is broken, in light, in dark, and on a phone"({ chromium, world }) {
    const looks = [{ colorScheme: "light" }, { colorScheme: "dark" }, { colorScheme: "light", viewport: { width: 360, height: 740 } }];
    await chaos(world, { region: "us-east", fault: "overloaded", for: "5m" });
    for (const look of looks) {
      const { page, close } = await open(chromium, world.admin, { ...look, reducedMotion: "reduce", bypassCSP: true });
      await live(page);
      await page.waitForSelector(".places tbody tr");
      await page.addScriptTag({ path: axe });
      const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      const faults = found.violations.map((fault) => `${fault.id} (${fault.nodes.map((node) => node.target).slice(0, 3).join(", ")})`);
      check(faults.length === 0, `${JSON.stringify(look)}: ${faults.join("; ")}`);
      await close();
    }
    await heal(world);
  },

  async "the theme follows the system until it is chosen, and the choice is kept"({ chromium, world }) {
    const { page, close } = await open(chromium, world.admin, { colorScheme: "light" });
    await live(page);
    const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await paper();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await paper();
    check(light !== dark, "the system's choice is followed");
    await page.click("#theme");
    check((await page.textContent("#theme")) === "Theme: light" && (await paper()) === light, "light, whatever the system says");
    await page.reload();
    check((await paper()) === light && (await page.textContent("#theme")) === "Theme: light", "it is kept");
    await close();
  },

  async "from the narrowest phone to a window in which rows become a table, nothing scrolls sideways and no two texts overlap"({ chromium, world }) {
    const { page, close } = await open(chromium, world.admin, { viewport: { width: 360, height: 740 }, reducedMotion: "reduce" });
    await live(page);
    await page.waitForSelector(".places tbody tr");
    check((await page.getByRole("table").count()) >= 2 && (await page.getByRole("row").count()) >= 4, "a table is still one for a screen reader");
    for (const width of [320, 360, 560, 561, 900, 901, 903, 930, 960, 961, 1080]) {
      await page.setViewportSize({ width, height: 740 });
      await page.reload();
      await page.waitForSelector(".places tbody tr");
      await page.waitForSelector(".flow .region");
      check((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `${width} px: the page is no wider`);
      const wide = await page.evaluate((width) => [...document.querySelectorAll("main *")].filter((node) => !node.closest("thead, caption")).filter((node) => node.getBoundingClientRect().right > width + 1).map((node) => node.className || node.tagName), width);
      check(wide.length === 0, `${width} px: these stick out: ${wide.join(", ")}`);
      const overlaps = await page.evaluate(overlapping);
      check(overlaps.length === 0, `${width} px: these overlap: ${overlaps.join(", ")}`);
    }
    await close();
  },

  async "what a finger is to meet in the footer is large enough"({ chromium, world }) {
    const { page, close } = await open(chromium, world.admin, { viewport: { width: 360, height: 740 } });
    await live(page);
    const heights = await page.locator("footer a").evaluateAll((links) => links.map((link) => link.getBoundingClientRect().height));
    check(heights.length === 4 && heights.every((height) => height >= 24), `they are ${heights.join(", ")} px high`);
    await close();
  },

  async "what moves is still where less motion is wanted"({ chromium, world }) {
    for (const [reducedMotion, name] of [["reduce", "none"], ["no-preference", "stream"]]) {
      const { page, close } = await open(chromium, world.admin, { reducedMotion });
      await live(page);
      const stream = page.locator('.flow .link[data-moving="true"] .stream').first();
      await stream.waitFor({ state: "attached" });
      check((await stream.evaluate((node) => getComputedStyle(node).animationName)) === name, `${reducedMotion}: ${name}`);
      await close();
    }
  },

  async "a page that nobody sees asks for nothing"({ chromium, world }) {
    const { page, seen, close } = await open(chromium, world.admin, { before: (page) => page.clock.install() });
    await until(page, "it was read once", () => document.querySelector("#ok").textContent !== "–");
    const turn = (hidden) =>
      page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await turn(true);
    const before = seen.statuses;
    await page.clock.runFor(60_000);
    check(seen.statuses <= before + 1, `it asked ${seen.statuses - before} times in a hidden minute`);
    await turn(false);
    const again = page.waitForRequest("**/status");
    await page.clock.runFor(100);
    await again;
    await close();
  },

  async "a name is text, whatever is in it"({ chromium }) {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-names-"));
    const file = join(folder, "names.toml");
    const region = "<style>*{display:none}";
    const model = "<img src=x onerror=document.title='taken'>";
    writeFileSync(file, `[providers.local]\ndialect = "openai"\napi_key = "none"\n[providers.local.regions."${region}"]\nbase_url = "http://127.0.0.1:9/v1"\n[models.chat]\ntargets = [{ provider = "local", model = "${model}" }]\n`);
    const gateway = await start(program, ["serve", ...ANY, "--config", file]);
    const { page, seen, close } = await open(chromium, gateway.admin, { viewport: { width: 360, height: 740 } });
    await live(page);
    await page.waitForSelector(".places tbody tr");
    check((await page.locator(".places tbody tr strong").textContent()) === region, "the region's name is shown as it is");
    check((await page.locator(".places tbody tr small").first().textContent()).includes(model), "and the model's");
    check((await page.locator("main img").count()) === 0 && (await page.locator("main style").count()) === 0, "nothing became markup");
    check((await page.title()) === "Outrigger", "nothing ran");
    check((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360, "a long name makes nothing wider");
    check(await page.locator("#chaos").isHidden(), "there is no chaos where regions are real");
    await close();
    await gateway.end();
    rmSync(folder, { recursive: true, force: true });
    check(seen.complaints.length === 0, `the console is silent: ${seen.complaints.join("; ")}`);
  },

  async "the simulator has a chaos panel and nothing that needs a gateway"({ chromium }) {
    const simulator = await start(program, ["sim", ...ANY]);
    const { page, seen, close } = await open(chromium, simulator.admin);
    await live(page);
    for (const part of ["#totals", "#flow", "#places", "#journal", "#spend"]) check(await page.locator(part).isHidden(), `a simulator has no ${part}`);
    check((await page.locator(".troubles li").first().textContent()).includes(`${simulator.listen}/v1`), "a region's address is told");
    await page.selectOption("#chaos-region", "eu-west");
    await page.selectOption("#chaos-fault", "silent");
    await page.click("text=Break it");
    await until(page, "the panel says so", () => document.querySelector(".troubles [data-broken=true]")?.textContent.startsWith("eu-west"));
    await close();
    await simulator.end();
    check(seen.complaints.length === 0, `the console is silent: ${seen.complaints.join("; ")}`);
  },

  async "a gateway that is gone is said to be gone, and found again"({ chromium }) {
    const first = await start(program, [...DEMO, ...ANY]);
    const { page, close } = await open(chromium, first.admin);
    await live(page);
    await page.waitForSelector(".places tbody tr");
    await first.end();
    await until(page, "the link is said to be lost", () => document.querySelector("#link").textContent.includes("Connection lost"));
    check((await page.locator("#banner").textContent()).startsWith("No word from the gateway since"), "since when");
    const second = await start(program, [...DEMO, "--listen", "127.0.0.1:0", "--admin", first.admin.slice("http://".length)]);
    check(second.admin === first.admin, "it is where it was");
    await live(page);
    check(await page.locator("#banner").isHidden(), "the banner is gone");
    await fetch(`${second.admin}/cordon`, { method: "POST", body: JSON.stringify({ provider: "holysheep", region: "us-east" }) });
    await page.waitForSelector('#journal-list li[data-kind="cordon"]');
    await close();
    await second.end();
  },
};

/** The picture for the README: a region is broken, and the traffic has moved. */
async function photograph(chromium, world) {
  const { page, close } = await open(chromium, world.admin, { colorScheme: "dark", viewport: { width: 1200, height: 1130 } });
  await live(page);
  await moving(page, "us-east", true);
  await chaos(world, { region: "us-east", fault: "reset", for: "5m" });
  await page.waitForSelector('#journal-list li[data-kind="failover"]');
  await circuit(page, "us-east", "open");
  await moving(page, "us-east", false);
  await until(page, "the lines have come to rest", () => document.getAnimations().every((one) => one.animationName || one.playState === "finished"));
  await page.screenshot({ path: picture, clip: { x: 0, y: 0, width: 1200, height: 1130 } });
  await close();
}

let failed = 0;
const glass = await browser();
const world = await start(program, [...DEMO, ...ANY]);
try {
  if (picture) {
    await photograph(glass.running, world);
  } else {
    for (const [name, test] of Object.entries(tests)) {
      const began = performance.now();
      try {
        await test({ chromium: glass.running, world });
        console.log(`ok     ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED ${name}\n       ${error.message}`);
      }
    }
  }
} finally {
  await glass.end();
  sweep();
}
process.exitCode = failed ? 1 : 0;
