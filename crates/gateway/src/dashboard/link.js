// The link to the gateway: what happens comes by `/events`, how it stands is read from `/status`, what it has cost from `/spend`.

const POLL = 2000;
const SOON = 250;
const SPEND = 5000;
const PATIENCE = 5000;
const EVENTS = ["transition", "failover", "failover_advised", "taken_out", "rescue", "reload", "cordon", "hearsay"];

/**
 * Keeps the link. `on.status(document)` is told how it stands, `on.spend(document)` what it has cost, `on.event(name, data)` what
 * happened, and `on.link(state)` whether the gateway is heard: `live` or `lost`.
 */
export function connect(on) {
  let source = null;
  let timer = 0;
  let due = Infinity;
  let reading = false;
  let again = false;
  let wait = 500;
  let listening = true;
  let counted = -Infinity;

  // The sooner of two wishes counts, so that a flood of events cannot put the reading off for ever.
  function later(delay) {
    const at = performance.now() + delay;
    if (document.hidden || at >= due) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(read, delay);
  }

  function rest() {
    clearTimeout(timer);
    due = Infinity;
  }

  async function read() {
    rest();
    if (reading) {
      again = true;
      return;
    }
    reading = true;
    let next = POLL;
    try {
      const status = await fresh("status");
      // Simulated regions without a gateway have no events.
      listening = status.deployments.length > 0 || !status.chaos;
      on.link("live");
      wait = 500;
      on.status(status);
      if (listening) {
        listen();
        if (performance.now() - counted >= SPEND) {
          on.spend(await fresh("spend"));
          counted = performance.now();
        }
      }
    } catch {
      on.link("lost");
      source?.close();
      source = null;
      next = wait;
      wait = Math.min(wait * 2, 4000);
    }
    reading = false;
    later(again ? SOON : next);
    again = false;
  }

  async function fresh(path) {
    const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return response.json();
  }

  function listen() {
    if (source) return;
    const own = new EventSource("events");
    source = own;
    for (const name of EVENTS) {
      own.addEventListener(name, (event) => {
        let data = {};
        try {
          data = JSON.parse(event.data);
        } catch {
          return;
        }
        on.event(name, data);
        later(SOON);
      });
    }
    own.addEventListener("error", () => {
      own.close();
      if (source !== own) return;
      source = null;
      // Whether the gateway has gone or only the stream, the next reading tells.
      later(SOON);
    });
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) rest();
    else later(0);
  });
  read();
  return { refresh: () => later(0) };
}
