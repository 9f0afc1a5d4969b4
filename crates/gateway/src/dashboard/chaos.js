// The chaos panel: it breaks simulated regions, and is there only where they are.

import { command, count, element, find, plain, say, span } from "./dom.js";

const FAULTS = [
  ["reset", "reset: connections break before an answer"],
  ["refuse", "refuse: connections are refused"],
  ["silent", "silent: requests are never answered"],
  ["status", "status: 500 to everybody"],
  ["overloaded", "overloaded: 529"],
  ["rate_limit", "rate limit: 429 with a wait"],
  ["quota_spent", "quota spent: 429 that no waiting heals"],
  ["slow", "slow: ten times slower"],
  ["slow_first_token", "slow first token: 5 s late"],
  ["slow_tokens", "slow tokens: 250 ms each"],
  ["cut", "cut: answers break off"],
  ["stall", "stall: answers stop half way"],
  ["malformed", "malformed: a frame is broken"],
  ["no_done", "no done: streams lack their end"],
  ["empty", "empty: 200 with nothing"],
  ["keepalive_forever", "keep-alive for ever: comments only"],
  ["context_length", "context length: 400"],
  ["content_filter", "content filter: 400"],
  ["bad_key", "bad key: 401"],
  ["no_prefill", "no prefill: refuses to continue"],
];
const TIMES = ["5s", "10s", "30s", "1m", "5m"];
const SHARES = [
  ["1", "all requests"],
  ["0.5", "half of them"],
  ["0.1", "one in ten"],
];

let regions = null;
let list = null;
let panel = null;
let refresh = () => {};

export function begin(after) {
  refresh = after;
}

export function show(status) {
  find("chaos").hidden = !status.chaos;
  if (!status.chaos) return;
  if (!panel) build();
  if (status.deployments.length === 0) say(find("chaos-about"), "Each region is a provider's, at an address of its own. Send your client there, break one, and see how it bears it.");
  const names = status.chaos.map((place) => place.region);
  if (names.join("\n") !== regions) {
    regions = names.join("\n");
    panel.region.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  }
  if (list.children.length !== names.length) list.replaceChildren(...names.map(() => element("li", {}, element("div", {}, element("strong"), element("small"), element("small")), element("span"))));
  status.chaos.forEach((place, index) => {
    const [{ children: [name, address, load] }, state] = list.children[index].children;
    const faults = place.faults.map(({ fault, left_ms: left }) => plain(fault) + (left === null ? "" : `, ${span(left / 1000)} left`));
    say(name, place.region);
    say(address, place.base_url ?? "");
    say(load, `${count(place.requests)} requests so far, ${count(place.in_flight)} under way`);
    say(state, faults.length ? `⚡ ${faults.join("; ")}` : "✓ nothing is wrong");
    list.children[index].setAttribute("data-broken", faults.length > 0);
  });
}

function build() {
  const choice = (id, label, options) => {
    const select = element("select", { id }, ...options.map(([value, text]) => element("option", { value }, text)));
    return [select, element("p", {}, element("label", { for: id }, label), select)];
  };
  const [region, regionLine] = choice("chaos-region", "Region", []);
  const [fault, faultLine] = choice("chaos-fault", "Fault", FAULTS);
  const [time, timeLine] = choice("chaos-for", "For", TIMES.map((time) => [time, time]));
  const [share, shareLine] = choice("chaos-share", "Strikes", SHARES);
  time.value = "10s";
  const strike = element("button", { type: "submit", class: "main danger" }, "Break it");
  const clear = element("button", { type: "button", class: "ghost" }, "Heal all");
  const answer = element("p", { class: "quiet", role: "status" });
  const form = element("form", { class: "chaos" }, regionLine, faultLine, timeLine, shareLine, element("div", { class: "row" }, clear, strike), answer);
  list = element("ul", { class: "troubles", "aria-label": "What is wrong now" });
  panel = { region };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const order = { region: region.value, fault: fault.value, for: time.value };
    if (share.value !== "1") order.share = Number(share.value);
    attempt(answer, command("POST", "chaos", order), `${order.region}: ${plain(order.fault)} for ${order.for}`);
  });
  clear.addEventListener("click", () => attempt(answer, command("DELETE", "chaos"), "all is well again"));
  find("chaos-panel").append(form, list);
}

async function attempt(answer, order, done) {
  try {
    await order;
    say(answer, done);
  } catch (error) {
    say(answer, `It was not done: ${error.message}`);
  }
  refresh();
}
