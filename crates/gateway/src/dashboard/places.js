// The table of regions: a row a deployment, each with the button that takes it out or puts it back.

import { bar, command, count, dollars, element, fillBar, find, mark, milliseconds, plain, reason, say, span, standing } from "./dom.js";

const COLUMNS = [
  ["Region", "place"],
  ["Circuit", "circuit"],
  ["Health", "health"],
  ["First token", "first"],
  ["Requests/min", "rate"],
  ["In flight", "flight"],
  ["Cooldown", "cooldown"],
  ["Failures", "failures"],
  ["Cost", "cost"],
  ["Cordon", "cordon"],
];

const rows = new Map();
let body = null;
let refresh = () => {};

export const keyOf = (place) => `${place.provider}/${place.region}/${place.model}`;

/** Makes the table; `after` is called when a place was taken out or put back. */
export function begin(after) {
  refresh = after;
  // A phone shows rows as cards; the roles are said because a changed display would take them away.
  body = element("tbody", { role: "rowgroup" });
  const heads = COLUMNS.map(([title, kind]) => element("th", { scope: "col", role: "columnheader", class: kind }, title));
  const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads));
  const caption = element("caption", { class: "unseen" }, "Every deployment: its circuit, health, speed, load, failures and cost");
  find("places-table").append(element("table", { role: "table", class: "places" }, caption, head, body));
  find("ask-no").addEventListener("click", () => find("ask").close());
  find("ask").querySelector("form").addEventListener("submit", carryOut);
}

export function show(status) {
  const seen = new Set();
  for (const place of status.deployments) {
    const key = keyOf(place);
    seen.add(key);
    if (!rows.has(key)) {
      rows.set(key, row(place));
      body.append(rows.get(key).root);
    }
    write(rows.get(key), place);
  }
  for (const [key, { root }] of rows) {
    if (seen.has(key)) continue;
    root.remove();
    rows.delete(key);
  }
}

function row(place) {
  const cells = {};
  const root = element("tr", { role: "row" });
  for (const [title, kind] of COLUMNS) {
    const first = kind === "place";
    const cell = element(first ? "th" : "td", { role: first ? "rowheader" : "cell", scope: first ? "row" : null, class: kind, "data-title": title });
    cells[kind] = cell;
    root.append(cell);
  }
  const parts = { root, cells };
  cells.place.append(element("strong", {}, place.region), element("small", {}, `${place.provider} · ${place.model}`));
  parts.badge = element("span", { class: "badge" });
  parts.why = element("small");
  cells.circuit.append(parts.badge, parts.why);
  parts.bar = bar();
  parts.health = element("span", { class: "number" });
  cells.health.append(parts.bar, parts.health);
  parts.button = element("button", { type: "button", class: "ghost small" });
  parts.button.addEventListener("click", () => ask(parts.place));
  cells.cordon.append(parts.button);
  return parts;
}

function write(parts, place) {
  parts.place = place;
  const { cells } = parts;
  const state = standing(place);
  mark(parts.root, "data-state", state.key);
  mark(parts.badge, "data-state", circuitLook(place));
  say(parts.badge, `${circuitSign(place)} ${plain(place.breaker)}`);
  say(parts.why, why(place));
  fillBar(parts.bar, place.health / 100);
  say(parts.health, Math.round(place.health));
  say(cells.first, milliseconds(place.ttft_ms));
  say(cells.rate, count(place.requests_per_minute));
  say(cells.flight, count(place.in_flight));
  say(cells.cooldown, place.cooldown_ms > 0 ? span(Math.ceil(place.cooldown_ms / 1000)) : "–");
  say(cells.failures, `${count(place.failures)} of ${count(place.attempts)}`);
  say(cells.cost, dollars(place.cost_usd));
  const word = place.cordoned ? "Uncordon" : "Cordon";
  say(parts.button, word);
  mark(parts.button, "aria-label", `${word} ${place.provider}/${place.region}, ${place.model}`);
}

const circuitLook = (place) => ({ open: "open", forced_open: "open", half_open: "half" })[place.breaker] ?? "closed";
const circuitSign = (place) => ({ open: "✕", forced_open: "✕", half_open: "◐", disabled: "–" })[place.breaker] ?? "✓";

/** Why it stands as it does, in a few words. */
function why(place) {
  const parts = [];
  if (place.cordoned) parts.push("⏸ cordoned");
  if (place.reason) parts.push(place.breaker === "closed" ? `✕ out: ${reason(place.reason)}` : reason(place.reason));
  if (place.breaker !== "closed" && place.breaker !== "disabled") parts.push(`level: ${place.level}`);
  if (place.consecutive_failures > 0 && !place.failover_advised) parts.push(`${count(place.consecutive_failures)} failed in a row`);
  if (place.failover_advised) parts.push(`▲ failover advised after ${count(place.consecutive_failures)} failures`);
  return parts.join(", ");
}

let asked = null;

/** Asks before anything is done: a slip of the finger must not take a region out. */
function ask(place) {
  asked = place;
  const name = `${place.provider}/${place.region}`;
  say(find("ask-title"), place.cordoned ? `Uncordon ${name}?` : `Cordon ${name}?`);
  const taken = `No new request goes to ${place.model} there; those that run come to their end.`;
  say(find("ask-text"), place.cordoned ? `${place.model} there takes requests again at once.` : taken);
  find("ask-lasting").hidden = place.cordoned;
  find("ask-for").value = "";
  say(find("ask-yes"), place.cordoned ? "Uncordon" : "Cordon");
  say(find("ask-fault"), "");
  find("ask").showModal();
}

async function carryOut(event) {
  event.preventDefault();
  const { provider, region, model, cordoned } = asked;
  const lasting = find("ask-for").value;
  find("ask-yes").disabled = true;
  try {
    if (cordoned) await command("DELETE", `cordon?${new URLSearchParams({ provider, region, model })}`);
    else await command("POST", "cordon", { provider, region, model, ...(lasting && { for: lasting }) });
    find("ask").close();
  } catch (error) {
    say(find("ask-fault"), `It was not done: ${error.message}`);
  }
  find("ask-yes").disabled = false;
  refresh();
}
