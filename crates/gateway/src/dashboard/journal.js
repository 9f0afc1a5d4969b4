// What happened: failovers and changes of circuits, the newest first.

import { clock, count, element, find, plain, reason, say, span } from "./dom.js";

const KEPT = 60;
/** Those who listen get a summary, not a flood. */
const BREATH = 4000;

const lines = [];
let names = new Map();
let unsaid = new Map();
let timer = 0;
let heard = 0;

/** Learns the shortest names that still tell the deployments apart. */
export function learn(status) {
  const places = status.deployments;
  const short = new Map();
  for (const place of places) short.set(place.region, (short.get(place.region) ?? 0) + 1);
  names = new Map(
    places.map((place) => {
      const full = `${place.provider}/${place.region}/${place.model}`;
      return [full, short.get(place.region) === 1 ? place.region : full];
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
    case "reload":
      return { look: "half", sign: "↻", what: data.result === "error" ? "a new configuration was refused" : "the configuration was read anew", kind: "reload", why: data.result ? plain(data.result) : "" };
    default:
      return null;
  }
}

/** Takes an event in. One that says the same as the newest of its kind only adds to its number. */
export function add(name, data) {
  const line = told(name, data);
  if (!line) return;
  heard += 1;
  const same = lines.slice(0, 6).find((known) => known.kind === line.kind && known.what === line.what && known.why === line.why);
  if (same) {
    same.times += 1;
    same.when = new Date();
    write(same);
  } else {
    enter(line);
  }
  find("journal-empty").hidden = true;
  say(find("journal-count"), `${count(heard)} since this page was opened`);
  announce(line);
}

function enter(line) {
  Object.assign(line, { times: 1, when: new Date() });
  line.clock = element("time");
  line.number = element("span", { class: "times" });
  const sign = element("span", { class: "badge sign", "data-state": line.look, "aria-hidden": "true" }, line.sign);
  const reason = element("small", {}, line.why ? `${line.kind}: ${line.why}` : line.kind);
  line.root = element("li", { "data-kind": line.kind }, sign, element("span", { class: "what" }, element("span", {}, line.what), reason), line.number, line.clock);
  write(line);
  lines.unshift(line);
  find("journal-list").prepend(line.root);
  for (const old of lines.splice(KEPT)) old.root.remove();
}

function write(line) {
  say(line.number, line.times > 1 ? `× ${count(line.times)}` : "");
  say(line.clock, clock(line.when));
  line.clock.setAttribute("datetime", line.when.toISOString());
}

function announce(line) {
  const words = `${line.kind} ${line.what.replaceAll("→", "to")}${line.why ? `, ${line.why}` : ""}`;
  unsaid.set(words, (unsaid.get(words) ?? 0) + 1);
  if (timer) return;
  timer = setTimeout(() => {
    const parts = [...unsaid].slice(-4).map(([what, times]) => (times > 1 ? `${what}, ${times} times` : what));
    say(find("announcer"), parts.join(". "));
    unsaid = new Map();
    timer = 0;
  }, heard < 3 ? 300 : BREATH);
}
