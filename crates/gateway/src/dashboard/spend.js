// What calls have cost: by caller's key, with what is left of its budget, and by provider and model; what is an estimate is said to be one.

import { bar, count, dollars, element, fillBar, find, mark, say, span } from "./dom.js";

/** The name under which the ledger keeps what callers without a key spend. */
const OPEN = "_open";
/** More are at `/spend`. */
const MOST = 10;

let parts = null;

export function show(spend) {
  if (!parts) build();
  const places = spend.days.filter((line) => line.day === spend.today);
  const sum = (lines, field) => lines.reduce((total, line) => total + line[field], 0);
  say(parts.today, dollars(spend.today_usd));
  const estimated = sum(places, "estimated_usd");
  say(parts.todayNote, estimated > 0 ? `${dollars(estimated)} of it estimated` : "since midnight UTC");
  say(parts.month, dollars(sum(spend.days, "cost_usd")));
  const monthly = sum(spend.days, "estimated_usd");
  say(parts.monthNote, monthly > 0 ? `${dollars(monthly)} of it estimated` : spend.days.length ? `since ${spend.days.at(-1).day}` : "nothing yet");
  const kept = spend.kept === "disk" ? "Kept on disk." : "Kept in memory: forgotten at a restart.";
  say(find("spend-kept"), spend.failed_writes > 0 ? `▲ ${count(spend.failed_writes)} bookings could not be written: the log says why.` : kept);
  mark(find("spend-kept"), "data-state", spend.failed_writes > 0 ? "half" : "closed");
  keys(spend.keys);
  models(places);
}

function keys(all) {
  const rank = (key) => [key.today_usd, key.total_usd];
  const sorted = [...all].sort((one, other) => rank(other)[0] - rank(one)[0] || rank(other)[1] - rank(one)[1] || one.key.localeCompare(other.key));
  const shown = sorted.slice(0, MOST);
  parts.keys.show(shown, (key) => key.key, keyRow);
  more(parts.keysMore, sorted.length - shown.length, "keys");
}

const keyRow = {
  make() {
    const [name, note, today, meter, share, left, reset] = [element("strong"), element("small"), element("span"), bar(), element("span", { class: "share" }), element("small"), element("small")];
    const limit = element("td", { class: "limit" }, element("span", { class: "line" }, meter, share), left, reset);
    return { cells: [element("th", { scope: "row" }, name, note), element("td", {}, today), limit], name, note, today, meter, share, left, reset };
  },
  write(row, { key, today_usd: today, total_usd: total, budget }) {
    say(row.name, key === OPEN ? "No key" : key);
    say(row.note, key === OPEN ? "callers need none" : `${dollars(total)} in all`);
    say(row.today, dollars(today));
    row.meter.hidden = !budget;
    if (!budget) {
      say(row.share, "no budget");
      say(row.left, "");
      say(row.reset, "");
      return;
    }
    const part = budget.amount_usd > 0 ? budget.spent_usd / budget.amount_usd : 1;
    fillBar(row.meter, part);
    mark(row.meter, "data-state", part >= 1 ? "open" : part >= 0.8 ? "half" : "closed");
    const whole = Math.floor(Math.min(part, 9.99) * 100);
    say(row.share, part >= 1 ? "✕ spent" : part >= 0.8 ? `▲ ${whole} %` : `${whole} %`);
    mark(row.share, "data-state", part >= 1 ? "open" : part >= 0.8 ? "half" : "closed");
    say(row.left, `${dollars(budget.spent_usd)} of ${dollars(budget.amount_usd)}`);
    say(row.reset, `per ${plainly(budget.every)}, anew in ${span(budget.ends_in_s)}`);
  },
};

function models(places) {
  const sorted = [...places].sort((one, other) => other.cost_usd - one.cost_usd || other.bookings - one.bookings);
  const shown = sorted.slice(0, MOST);
  parts.models.show(shown, (line) => `${line.provider}\n${line.model}`, modelRow);
  parts.models.root.hidden = shown.length === 0;
  parts.none.hidden = shown.length > 0;
  more(parts.modelsMore, sorted.length - shown.length, "models");
}

const modelRow = {
  make() {
    const [name, note, tokens, cost, estimate] = [element("strong"), element("small"), element("span"), element("span"), element("small")];
    return { cells: [element("th", { scope: "row" }, name, note), element("td", {}, tokens), element("td", {}, cost, estimate)], name, note, tokens, cost, estimate };
  },
  write(row, line) {
    say(row.name, line.model);
    say(row.note, line.provider);
    say(row.tokens, brief(line.input_tokens + line.output_tokens));
    say(row.cost, dollars(line.cost_usd));
    say(row.estimate, line.estimated_usd > 0 ? `${dollars(line.estimated_usd)} estimated` : "");
  },
};

/** A table whose rows stay where they are and are written anew, so that nobody loses the line that is being read. */
function table(caption, heads) {
  const rows = new Map();
  const body = element("tbody");
  const head = element("thead", {}, element("tr", {}, ...heads.map((title) => element("th", { scope: "col" }, title))));
  const root = element("table", { class: "spend" }, element("caption", {}, caption), head, body);
  return {
    root,
    show(lines, keyOf, kind) {
      const wanted = lines.map((line) => {
        const key = keyOf(line);
        if (!rows.has(key)) {
          const row = kind.make();
          row.root = element("tr", {}, ...row.cells);
          rows.set(key, row);
        }
        kind.write(rows.get(key), line);
        return key;
      });
      for (const [key, row] of rows) {
        if (wanted.includes(key)) continue;
        row.root.remove();
        rows.delete(key);
      }
      wanted.forEach((key, index) => {
        const { root: row } = rows.get(key);
        if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
      });
    },
  };
}

function build() {
  const figure = (title) => {
    const [number, note] = [element("strong"), element("small")];
    return [number, note, element("div", {}, element("dt", {}, title), element("dd", {}, number, note))];
  };
  const [today, todayNote, first] = figure("Today");
  const [month, monthNote, second] = figure("31 days");
  const byKey = table("By caller's key", ["Key", "Today", "Budget"]);
  const byModel = table("Today, by model and provider", ["Model", "Tokens", "Cost"]);
  const none = element("p", { class: "quiet" }, "Nothing has been spent today.");
  const [keysMore, modelsMore] = [element("p", { class: "quiet" }), element("p", { class: "quiet" })];
  parts = { today, todayNote, month, monthNote, keys: byKey, models: byModel, none, keysMore, modelsMore };
  find("spend-table").append(element("dl", { class: "figures" }, first, second), byKey.root, keysMore, byModel.root, none, modelsMore);
}

function more(node, hidden, what) {
  say(node, hidden > 0 ? `and ${count(hidden)} more ${what}, at /spend` : "");
  node.hidden = hidden <= 0;
}

/** `30days` is `30 days`, and one of a thing is that thing. */
const plainly = (length) => length.replaceAll(/(\d+)([a-z]+)/g, (_, number, unit) => (number === "1" ? unit : `${number} ${unit}`));

function brief(tokens) {
  if (tokens < 10_000) return count(tokens);
  return tokens < 10_000_000 ? `${count(tokens / 1000)} k` : `${count(tokens / 1_000_000)} M`;
}
