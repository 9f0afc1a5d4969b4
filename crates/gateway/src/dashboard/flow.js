// The flow of traffic: callers, the gateway, regions. The picture is laid out anew for the width it has, in pixels, so that its
// words are as large on a phone as elsewhere.

import { count, find, mark, milliseconds, say, shape, standing } from "./dom.js";

/** Rates are those of the last seconds: long enough to be steady, short enough to see a region go. */
const WINDOW = 6000;
const MOST = 10;
const WIDEST = 20;

const samples = [];
const nodes = new Map();
let picture = null;
let latest = null;

/** Attempts per minute of each region by the last readings; of the gateway's own minute where there are none yet. */
function rates(regions, now) {
  const totals = new Map(regions.map((region) => [region.key, region.attempts]));
  const last = samples.at(-1);
  if (last && [...totals].some(([key, attempts]) => attempts < (last.totals.get(key) ?? 0))) samples.length = 0; // it was restarted
  samples.push({ now, totals });
  while (samples.length > 2 && samples[1].now < now - WINDOW) samples.shift();
  const first = samples[0];
  const minutes = (now - first.now) / 60_000;
  return regions.map((region) => {
    const before = first.totals.get(region.key);
    if (minutes < 0.005 || before === undefined) return region.minute;
    return (region.attempts - before) / minutes;
  });
}

/** The deployments of each region put together, the worst of them standing for all. */
function regionsOf(places) {
  const order = ["open", "cordoned", "half", "closed"];
  const regions = new Map();
  for (const place of places) {
    const key = `${place.provider}/${place.region}`;
    const own = standing(place);
    const known = regions.get(key);
    if (!known) {
      const { provider, region } = place;
      const first = { key, provider, region, standing: own, attempts: 0, minute: 0, flight: 0, ttft: null };
      regions.set(key, first);
    }
    const whole = regions.get(key);
    if (order.indexOf(own.key) < order.indexOf(whole.standing.key)) whole.standing = own;
    whole.attempts += place.attempts;
    whole.minute += place.requests_per_minute;
    whole.flight += place.in_flight;
    if (place.ttft_ms !== null) whole.ttft = Math.min(whole.ttft ?? Infinity, place.ttft_ms);
  }
  return [...regions.values()];
}

/** Shows how the traffic flows now. */
export function show(status) {
  const regions = regionsOf(status.deployments);
  const found = rates(regions, performance.now());
  regions.forEach((region, index) => (region.rate = found[index]));
  // Of many, those with the most traffic are drawn, in the order of the configuration so that none jumps about.
  const busiest = [...regions].sort((one, other) => other.rate - one.rate).slice(0, MOST);
  latest = { regions: regions.filter((region) => busiest.includes(region)), hidden: regions.length - busiest.length };
  latest.total = regions.reduce((sum, region) => sum + region.rate, 0);
  draw();
}

function begin() {
  picture = shape("svg", { class: "flow", role: "img" });
  find("flow-picture").append(picture);
  new ResizeObserver(draw).observe(find("flow-picture"));
}

function draw() {
  if (!latest) return;
  if (!picture) begin();
  const { regions, total, hidden } = latest;
  const width = Math.max(260, Math.floor(find("flow-picture").clientWidth));
  const narrow = width < 560;
  const step = narrow ? 66 : 72;
  const height = Math.max(narrow ? 190 : 200, regions.length * step + 8) + (hidden ? 24 : 0);
  mark(picture, "viewBox", `0 0 ${width} ${height}`);
  mark(picture, "width", width);
  mark(picture, "height", height);
  mark(picture, "aria-label", description(regions, total));

  const box = { width: narrow ? Math.min(172, width - 146) : Math.min(290, width * 0.36), height: step - 14 };
  const middle = (height - (hidden ? 24 : 0)) / 2;
  const stop = { callers: narrow ? 34 : 62, gateway: narrow ? 104 : Math.round(width * 0.4), regions: width - box.width - 2 };
  const wide = (rate) => (total > 0 && rate > 0 ? Math.max(2, (rate / total) * WIDEST) : 1);

  const seen = new Set(["callers", "gateway", "in"]);
  link("in", stop.callers + (narrow ? 18 : 34), middle, stop.gateway - 24, middle, wide(total), "closed", total > 0);
  hub("callers", stop.callers, middle, narrow ? 18 : 30, "Callers", `${count(total)}/min`, narrow);
  hub("gateway", stop.gateway, middle, narrow ? 22 : 30, "Outrigger", "", narrow);
  regions.forEach((region, index) => {
    const y = middle + (index - (regions.length - 1) / 2) * step;
    const spread = (index - (regions.length - 1) / 2) * Math.min(5, 26 / Math.max(1, regions.length));
    link(region.key, stop.gateway + (narrow ? 20 : 28), middle + spread, stop.regions, y, wide(region.rate), region.standing.key, region.rate > 0);
    card(region, stop.regions, y - box.height / 2, box);
    seen.add(region.key);
  });
  more(hidden, width, height);
  for (const [key, node] of nodes) {
    if (seen.has(key.replace(/^(link|card|hub):/, "")) || key === "more") continue;
    node.root.remove();
    nodes.delete(key);
  }
}

function description(regions, total) {
  const parts = regions.map((region) => `${region.region} ${region.standing.word}, ${count(region.rate)} per minute`);
  return `${count(total)} attempts per minute: ${parts.join("; ")}`;
}

/** The parts of the picture live on, so that a change of width or place is seen as a movement. */
function node(key, make) {
  let known = nodes.get(key);
  if (!known) {
    known = make();
    nodes.set(key, known);
    // Lines lie below everything.
    if (key.startsWith("link:")) picture.prepend(known.root);
    else picture.append(known.root);
  }
  return known;
}

function link(key, x1, y1, x2, y2, wide, state, moving) {
  const { root, line, stream } = node(`link:${key}`, () => {
    const line = shape("path", { class: "line", fill: "none" });
    const stream = shape("path", { class: "stream", fill: "none" });
    return { root: shape("g", { class: "link" }, line, stream), line, stream };
  });
  const bend = (x2 - x1) * 0.5;
  const path = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  for (const part of [line, stream]) mark(part, "d", path);
  line.style.strokeWidth = `${wide.toFixed(1)}px`;
  stream.style.strokeWidth = `${Math.max(1.5, wide * 0.34).toFixed(1)}px`;
  mark(root, "data-state", state);
  mark(root, "data-moving", moving);
  mark(root, "data-key", key);
  mark(root, "data-wide", wide.toFixed(1));
}

function hub(key, x, y, radius, title, note, narrow) {
  const { root, name, amount } = node(`hub:${key}`, () => {
    const name = shape("text", { class: "name", "text-anchor": "middle" });
    const amount = shape("text", { class: "amount", "text-anchor": "middle" });
    const sign = key === "gateway" ? boat() : people();
    const root = shape("g", { class: `hub ${key}` }, shape("circle", { r: radius }), sign, name, amount);
    return { root, name, amount };
  });
  root.style.transform = `translate(${x}px, ${y}px)`;
  mark(root.querySelector("circle"), "r", radius);
  root.querySelector(".sign").style.transform = `scale(${radius / 30})`;
  say(name, narrow && key === "gateway" ? "" : title); // the sail says it, and a card is in the way
  say(amount, note);
  mark(name, "y", radius + (narrow ? 16 : 20));
  mark(amount, "y", radius + (narrow ? 31 : 38));
}

function people() {
  const one = (x, y) => [shape("circle", { cx: x, cy: y - 6, r: 4.5 }), shape("path", { d: `M${x - 8} ${y + 9}a8 8 0 0 1 16 0z` })];
  return shape("g", { class: "sign" }, ...one(-11, -2), ...one(11, -2), ...one(0, 4));
}

function boat() {
  const sail = shape("path", { d: "M-1-17v20M-1-16c7 4 10 11 10 18H-1z" });
  const hull = shape("path", { class: "stroke", d: "M-15 6c3 6 7 7 13 7s11-2 14-7", fill: "none" });
  return shape("g", { class: "sign" }, sail, hull);
}

function card(region, x, y, box) {
  const { root, frame, name, state, amount, title } = node(`card:${region.key}`, () => {
    const frame = shape("rect", { rx: 10 });
    const [name, state, amount] = ["name", "state", "amount"].map((kind) => shape("text", { class: kind }));
    const title = shape("title");
    return { root: shape("g", { class: "region" }, title, frame, name, state, amount), frame, name, state, amount, title };
  });
  root.style.transform = `translate(${x}px, ${y}px)`;
  mark(root, "data-state", region.standing.key);
  mark(frame, "width", box.width);
  mark(frame, "height", box.height);
  const slim = box.width < 200;
  say(title, `${region.provider}/${region.region}`);
  for (const [text, dx, dy, anchor] of [
    [name, 12, 22, "start"],
    [state, slim ? 12 : box.width - 12, slim ? 42 : 22, slim ? "start" : "end"],
    [amount, slim ? box.width - 10 : 12, 42, slim ? "end" : "start"],
  ]) {
    mark(text, "x", dx);
    mark(text, "y", dy);
    mark(text, "text-anchor", anchor);
  }
  say(state, `${region.standing.sign} ${region.standing.word}`);
  const first = region.ttft === null || slim ? "" : `  ·  first token ${milliseconds(region.ttft)}`;
  say(amount, `${count(region.rate)}/min${first}`);
  fit(name, region.region, slim ? box.width - 24 : box.width - 40 - state.getComputedTextLength());
  if (slim && state.getComputedTextLength() + amount.getComputedTextLength() > box.width - 26) fit(state, state.textContent, box.width - 28 - amount.getComputedTextLength());
}

/** As much of a name as there is room for. */
function fit(text, name, room) {
  say(text, name);
  for (let kept = name.length; kept > 1 && text.getComputedTextLength() > room; ) {
    kept = Math.max(1, Math.min(kept - 1, Math.floor((kept * room) / text.getComputedTextLength())));
    say(text, `${name.slice(0, kept)}…`);
  }
}

function more(hidden, width, height) {
  const { root } = node("more", () => ({ root: shape("text", { class: "amount", "text-anchor": "end" }) }));
  mark(root, "x", width - 4);
  mark(root, "y", height - 6);
  say(root, hidden ? `and ${hidden} quieter regions` : "");
}
