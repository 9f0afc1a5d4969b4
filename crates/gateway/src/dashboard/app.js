// The page put together: what the link hears goes to the parts that show it.

import * as chaos from "./chaos.js";
import { bar, clock, count, dollars, fillBar, find, isOut, mark, say, span } from "./dom.js";
import * as flow from "./flow.js";
import * as journal from "./journal.js";
import { connect } from "./link.js";
import * as places from "./places.js";
import * as spend from "./spend.js";

const THEMES = ["system", "light", "dark"];
const WORDS = { live: "Live", lost: "Connection lost", draining: "Draining" };

let state = "connecting";
let draining = false;
let heard = null;

const link = connect({
  status(status) {
    heard = new Date();
    draining = status.draining;
    tell();
    const simulator = status.deployments.length === 0 && Boolean(status.chaos);
    document.body.classList.toggle("simulator", simulator);
    say(find("about"), `${simulator ? "simulator" : "gateway"} ${status.version}, up ${span(status.uptime_s)}`);
    chaos.show(status);
    if (simulator) return;
    journal.learn(status);
    totals(status);
    places.show(status);
    flow.show(status);
  },
  spend: spend.show,
  event: journal.add,
  link(now) {
    state = now;
    tell();
  },
});
places.begin(link.refresh);
chaos.begin(link.refresh);

/** Says whether what is shown is true now. */
function tell() {
  const shown = state === "live" && draining ? "draining" : state;
  mark(find("link"), "data-state", shown);
  say(find("link").querySelector(".word"), WORDS[shown] ?? "Connecting");
  document.body.classList.toggle("stale", state === "lost");
  const lost = heard
    ? `No word from the gateway since ${clock(heard)}. What you see is from then; it is being asked again.`
    : "The gateway does not answer; it is being asked again.";
  const text = { lost, draining: "The gateway is draining: it takes no new requests, and those that run come to their end." }[shown] ?? "";
  say(find("banner"), text);
  find("banner").hidden = text === "";
  document.title = shown === "lost" ? "(lost) Outrigger" : "Outrigger";
}

function totals(status) {
  const { ok = 0, error = 0, truncated = 0, cancelled = 0, refused = 0 } = status.requests;
  const sum = (field) => status.deployments.reduce((total, place) => total + place[field], 0);
  // What a provider finds to be its caller's own fault failed nobody.
  const failed = Math.max(0, error + truncated - status.rejected);
  const judged = ok + failed;
  say(find("ok"), count(ok));
  say(find("ok-note"), judged ? `${share(ok / judged)} of all that were not refused` : "none yet");
  say(find("failed"), count(failed));
  mark(find("failed"), "data-state", failed > 0 ? "open" : "closed");
  say(find("failed-note"), `${count(truncated)} cut short, ${count(cancelled)} hung up, ${count(refused + status.rejected)} refused`);
  const ended = judged + status.rejected + cancelled;
  say(find("per"), ended ? (sum("attempts") / ended).toFixed(2) : "–");
  say(find("per-note"), `${count(sum("attempts"))} attempts, ${count(sum("failures"))} failed`);
  say(find("flight"), count(sum("in_flight")));
  const out = status.deployments.filter(isOut).length;
  say(find("flight-note"), `${status.deployments.length - out} of ${status.deployments.length} deployments available`);
  const budget = status.retry_budget;
  say(find("budget"), budget ? `${count(budget.balance)} of ${count(budget.capacity)}` : "full");
  if (!find("budget-bar").firstChild) find("budget-bar").append(bar());
  fillBar(find("budget-bar").firstChild, budget ? budget.balance / Math.max(1, budget.capacity) : 1);
  const minute = sum("requests_per_minute");
  say(find("cost"), dollars(sum("cost_usd")));
  const estimated = sum("estimated_usd");
  const guess = estimated > 0 ? `${dollars(estimated)} of it estimated, ` : "";
  say(find("cost-note"), `${guess}${count(minute)} attempts in the last minute`);
}

/** Never `100 %` while one is missing. */
function share(part) {
  return part === 1 ? "100 %" : `${(Math.floor(part * 10_000) / 100).toFixed(2)} %`;
}

function paint(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  say(find("theme"), `Theme: ${theme}`);
}

/** A browser may forbid the store; then the choice lasts as long as the page. */
function kept(write) {
  try {
    if (write) localStorage.setItem("theme", write);
    return localStorage.getItem("theme");
  } catch {
    return write;
  }
}

let theme = THEMES.includes(kept()) ? kept() : "system";
paint(theme);
find("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  kept(theme);
  paint(theme);
});
