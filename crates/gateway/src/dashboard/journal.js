// What happened, before this page was opened too: failovers and changes of circuits, the newest first.

import { clock, count, element, find, mark, plain, reason, say, span } from "./dom.js";

/** As many as the gateway remembers. */
const KEPT = 100;
const STILL = 6;
/** Those who listen get a summary, not a flood. */
const BREATH = 4000;

const lines = [];
let names = new Map();
let unsaid = new Map();
let timer = 0;
let spoken = 0;

/** Learns the shortest names that still tell the deployments apart. */
export function learn(status) {
  const places = status.deployments;
  const alone = new Set(places.map((place) => place.provider)).size === 1;
  const short = new Map();
  for (const place of places) short.set(place.region, (short.get(place.region) ?? 0) + 1);
  names = new Map(
    places.map((place) => {
      const full = `${place.provider}/${place.region}/${place.model}`;
      const longer = alone ? `${place.region} · ${place.model}` : full;
      return [full, short.get(place.region) === 1 ? place.region : longer];
    }),
  );
}

const called = (full) => names.get(full) ?? full;
const placed = (data) => called(`${data.provider}/${data.region}/${data.model}`);

/** How an event is told: its look, its sign, its words, and the reason. */
function told(name, data) {
  switch (name) {
    case "failover":
      return { look: "failover", sign: "⇄", what: `${called(data.from)} → ${called(data.to)}`, kind: "failover", why: plain(data.class) };
    case "transition": {
      const look = data.to === "closed" ? "closed" : data.to === "half_open" ? "half" : "open";
      const sign = { closed: "✓", half: "◐", open: "✕" }[look];
      return { look, sign, what: `${placed(data)}: ${plain(data.from)} → ${plain(data.to)}`, kind: "circuit", why: data.reason ? reason(data.reason) : "" };
    }
    case "taken_out": {
      const back = data.back_in_s === null || data.back_in_s === undefined ? "" : `, back in ${span(data.back_in_s)}`;
      return { look: "open", sign: "✕", what: `${placed(data)} is taken out`, kind: "taken out", why: plain(data.class) + back };
    }
    case "rescue":
      return { look: "failover", sign: "⤳", what: `${called(data.from)}${data.to ? ` → ${called(data.to)}` : ""}`, kind: "rescue", why: `${plain(data.class)}, ${plain(data.result)}` };
    case "failover_advised":
      return { look: "half", sign: "▲", what: `another place is preferred to ${placed(data)}`, kind: "advice", why: "three failures in a row" };
    case "cordon":
      return { look: "cordoned", sign: "⏸", what: `${placed(data)} is ${data.cordoned ? "cordoned" : "uncordoned"}`, kind: "cordon", why: data.for_s ? `for ${span(data.for_s)}` : "" };
    case "hearsay": {
      const wait = data.cooldown_s === null || data.cooldown_s === undefined ? "" : `for ${span(data.cooldown_s)}`;
      const what = data.news === "cooldown" ? "is to be left alone" : "failed elsewhere";
      return { look: "half", sign: "✉", what: `another replica says: ${placed(data)} ${what}`, kind: "hearsay", why: wait };
    }
    case "reload":
      return { look: "half", sign: "↻", what: data.result === "error" ? "a new configuration was refused" : "the configuration was read anew", kind: "reload", why: data.faults?.[0] ?? (data.trigger ? `by ${plain(data.trigger)}` : "") };
    default:
      return null;
  }
}

/** Takes an event in. Alike events are one line, which the gateway numbers: its own memory and what comes live fall into one. */
export function add(name, data) {
  const line = told(name, data);
  if (!line) return;
  const known = lines.find((other) => other.number === data.line);
  const what = known ?? enter(line, data.line);
  Object.assign(what, { times: data.times, since: new Date(data.since_ms), when: new Date(data.at_ms) });
  write(what);
  raise(what);
  find("journal-empty").hidden = true;
  const sum = lines.reduce((total, one) => total + one.times, 0);
  const first = lines.reduce((least, one) => Math.min(least, one.since), Infinity);
  say(find("journal-count"), `${count(sum)} since ${moment(new Date(first))}`);
  // Who opens the page reads the past; nobody wants to hear all of it.
  if (!data.past) announce(line);
}

function enter(line, number) {
  line.number = number;
  line.clock = element("time");
  line.often = element("span", { class: "times" });
  const sign = element("span", { class: "badge sign", "data-state": line.look, "aria-hidden": "true" }, line.sign);
  line.reason = element("small");
  line.root = element("li", { "data-kind": line.kind }, sign, element("span", { class: "what" }, element("span", {}, line.what), line.reason), line.often, line.clock);
  return line;
}

/** The newest stand first. One that is near the top stays where it is, so that a busy minute can be read. */
function raise(line) {
  const place = lines.indexOf(line);
  if (place >= 0 && place < STILL) return;
  if (place >= 0) lines.splice(place, 1);
  lines.unshift(line);
  find("journal-list").prepend(line.root);
  for (const old of lines.splice(KEPT)) old.root.remove();
}

function write(line) {
  const since = line.when - line.since < 60_000 ? "" : `, since ${moment(line.since)}`;
  say(line.reason, (line.why ? `${line.kind}: ${line.why}` : line.kind) + since);
  say(line.often, line.times > 1 ? `× ${count(line.times)}` : "");
  say(line.clock, moment(line.when));
  mark(line.clock, "datetime", line.when.toISOString());
}

/** A time of today by the clock, another with its day. */
function moment(when) {
  const days = when.toDateString() === new Date().toDateString() ? "" : `${when.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, `;
  return days + clock(when);
}

function announce(line) {
  const words = `${line.kind} ${line.what.replaceAll("→", "to")}${line.why ? `, ${line.why}` : ""}`;
  unsaid.set(words, (unsaid.get(words) ?? 0) + 1);
  spoken += 1;
  if (timer) return;
  timer = setTimeout(() => {
    const parts = [...unsaid].slice(-4).map(([what, times]) => (times > 1 ? `${what}, ${times} times` : what));
    say(find("announcer"), parts.join(". "));
    unsaid = new Map();
    timer = 0;
  }, spoken < 3 ? 300 : BREATH);
}
