// Elements and words. Whatever comes from outside becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same, of a picture. */
export function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/** Writes text only where it changed, so that nothing is read out or laid out twice. */
export function say(node, text) {
  const words = String(text);
  if (node.textContent !== words) node.textContent = words;
}

export function mark(node, attribute, value) {
  if (node.getAttribute(attribute) !== String(value)) node.setAttribute(attribute, String(value));
}

/** A bar for a share of 0 to 1; the number stands beside it, so it is for the eye alone. */
export function bar() {
  return element("span", { class: "bar", "aria-hidden": "true" }, element("span"));
}

export function fillBar(node, part) {
  const share = Math.min(1, Math.max(0, part));
  node.firstChild.style.width = `${(share * 100).toFixed(1)}%`;
  mark(node, "data-state", share >= 0.8 ? "closed" : share >= 0.5 ? "half" : "open");
}

/** Why a circuit has opened, in people's words. */
export function reason(word) {
  const words = {
    consecutive: "failures in a row",
    failure_rate: "too many failures",
    slow_rate: "too many slow answers",
    trial_failed: "a trial failed",
    half_open_timeout: "trials did not end",
    manual: "by hand",
  };
  return words[word] ?? plain(word);
}

export const count = (number) => Math.round(number).toLocaleString("en-US");

export function milliseconds(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return span(ms / 1000);
}

/** A length of time in its two largest units. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  if (minutes) return `${minutes} min ${whole % 60} s`;
  return `${whole} s`;
}

export function dollars(usd) {
  if (!Number.isFinite(usd)) return "–";
  if (usd === 0) return "$0";
  const digits = usd >= 100 ? 0 : usd >= 1 ? 2 : usd >= 0.01 ? 3 : 5;
  return `$${usd.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

export const clock = (when) => when.toLocaleTimeString("en-GB");

/** A word of the program's in words of people's: `half_open` is `half open`. */
export const plain = (word) => String(word).replaceAll("_", " ");

/** What a deployment's state is: a key for its look, a sign and a word, so that no colour says anything alone. */
export function standing(place) {
  if (place.cordoned) return { key: "cordoned", sign: "⏸", word: "cordoned" };
  if (place.breaker === "open" || place.breaker === "forced_open") return { key: "open", sign: "✕", word: plain(place.breaker) };
  if (place.breaker === "half_open") return { key: "half", sign: "◐", word: "half open" };
  if (place.cooldown_ms > 0) return { key: "half", sign: "◷", word: "cooling down" };
  if (place.reason) return { key: "open", sign: "✕", word: plain(place.reason) };
  if (place.health < 50 || place.failover_advised) return { key: "half", sign: "▲", word: "ailing" };
  return { key: "closed", sign: "✓", word: "well" };
}

/** Whether nobody is sent there now: an operator, a circuit, a wait, or a refusal that somebody has to mend keeps it out. */
export const isOut = (place) =>
  place.cordoned ||
  ["open", "forced_open"].includes(place.breaker) ||
  place.cooldown_ms > 0 ||
  ["credential", "quota_spent", "model_missing"].includes(place.reason);

/** Asks the admin port; the error of a refusal is the gateway's own message. */
export async function command(method, path, body) {
  const request = { method, headers: {}, signal: AbortSignal.timeout(10_000) };
  if (body) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  const response = await fetch(path, request);
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    throw new Error(answer?.error?.message ?? `the gateway answered ${response.status}`);
  }
}
