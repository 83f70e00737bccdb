// One customer: what is known, the timeline, and what if.

import { ARMS, bought } from "./actions.js";
import { timeline } from "./charts.js";
import { fill, make, write } from "./dom.js";
import { capital, counted, dayAndHour, feature, points, share, span, time, words } from "./format.js";
import { ask, Refused } from "./service.js";

const REFRESH_MS = 3000;
const MOST_STEPS = 20;
const ITEM = { item_id: "what-if", price: 50, quantity: 1 };
const EVENTS = [
  ["looks at an item", { type: "view_item", ...ITEM }],
  ["adds 50 to the cart", { type: "add_to_cart", ...ITEM }],
  ["begins the checkout", { type: "begin_checkout" }],
  ["buys", { type: "purchase", value: 50, ...ITEM }],
];
// What is tried comes so long after what was tried before.
const APART_MS = 10_000;
const SINCE = /^since_(.*)$/;
// A silence of so long ends a visit in the picture.
const PAUSE_MS = 30 * 60_000;
// How exactly the time since an event tells which event it was.
const SAME_MS = 200;

export class Customer {
  constructor($) {
    this.$ = $;
    this.paused = false;
    this.id = null;
    this.steps = [];
    this.types = new Map();
    this.timer = 0;
    for (const [name, event] of EVENTS) {
      const button = make("button", {}, capital(name));
      button.addEventListener("click", () => this.tryEvent(name, event));
      $("c-buttons").append(button);
    }
    $("c-again").addEventListener("click", () => {
      this.startOver();
      $("c-buttons").firstElementChild.focus();
    });
  }

  open(id) {
    this.close();
    this.id = id;
    this.types.clear();
    this.startOver();
    write(this.$("c-id"), id);
    write(this.$("c-problem"), "");
    this.setKnown(false);
    this.$("c-id").focus({ preventScroll: true });
    this.refresh();
  }

  close() {
    clearTimeout(this.timer);
    this.id = null;
  }

  /** Takes the newest snapshot: its clock. */
  note(snapshot) {
    this.now = snapshot.now;
  }

  async refresh() {
    const id = this.id;
    const path = encodeURIComponent(id);
    clearTimeout(this.timer);
    try {
      if (!this.paused) {
        const [known, seen] = await Promise.all([ask(`/v1/customers/${path}`), this.seen(path)]);
        if (id !== this.id) return;
        write(this.$("c-problem"), known.customer_id === id ? "" : `Somebody has logged in: this id is ${known.customer_id}'s now, and what is said here is of that customer.`);
        this.show(known, seen);
      }
    } catch (error) {
      if (id !== this.id) return;
      if (error instanceof Refused) write(this.$("c-problem"), this.refused(error));
      else if (!(error instanceof TypeError)) throw error; // no connection: the state says so already
    }
    this.timer = setTimeout(() => this.refresh(), REFRESH_MS);
  }

  /** The timeline; of somebody who was not seen lately an empty one. */
  async seen(path) {
    try {
      return await ask(`/v1/live/customers/${path}`);
    } catch (error) {
      if (error.status !== 404) throw error;
      return { now: this.now ?? { at: Date.now() }, points: [], actions: [] };
    }
  }

  /** Shows the parts of the page only where something is known; else nothing is left of who was looked at before. */
  setKnown(isKnown) {
    for (const part of this.$("customer").querySelectorAll(".known")) part.hidden = !isKnown;
    if (isKnown) return;
    write(this.$("c-intent"), "");
    write(this.$("c-within"), "");
  }

  refused(error) {
    if (error.status === 404) {
      this.setKnown(false);
      return "Nothing is held about this id: check it. Ids are those of your events.";
    }
    return capital(`${error.message}.`);
  }

  show(known, seen) {
    const now = seen.now.at;
    const isOpen = now < known.horizon_ends;
    this.setKnown(true);
    write(this.$("c-intent"), share(known.purchase_intent));
    write(this.$("c-within"), ` to buy within ${span(1000 * known.horizon_seconds)} after the last event`);
    const figures = [
      ["Band", known.band],
      ["Segment", known.segment.name],
      ["Action for this score", known.action === "none" ? "none" : `${words(known.action)}${known.holdout ? ", held out" : ""}`],
      ["Last event", `${span(now - known.as_of)} ago`],
      ["Score", isOpen ? `expires in ${span(known.horizon_ends - now)}` : "expired"],
    ];
    if (known.recommendation) figures.push(["Offer", known.recommendation.text]);
    fill(this.$("c-figures"), figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
    const reasons = known.reasons.map((one) => `${capital(one.text)} (${one.effect < 0 ? "less" : "more"} likely)`);
    fill(this.$("c-reasons"), (reasons.length ? reasons : ["Nothing stands out."]).map((one) => make("li", {}, one)));
    this.showTimeline(known, seen);
    this.showSent(seen);
    fill(this.$("c-features"), Object.entries(known.features ?? {}).map(([name, value]) => {
      const [label, said] = feature(name, value);
      return make("div", {}, make("dt", {}, label), make("dd", {}, said));
    }));
  }

  showTimeline(known, { points: found }) {
    const last = Object.entries(known.features ?? {})
      .map(([name, value]) => [SINCE.exec(name)?.[1], value])
      .filter(([name, value]) => name && value !== null)
      .reverse() // of one moment, the later step towards a purchase is the later event
      .sort((one, other) => one[1] - other[1]);
    fill(this.$("c-last").tBodies[0], last.map(([name, seconds]) => make(
      "tr", {}, make("th", { scope: "row" }, capital(words(name))),
      make("td", { class: "number" }, seconds < 1 ? "it is the last event" : span(1000 * seconds)),
    )));
    if (!found.length) {
      this.$("c-timeline").replaceChildren();
      write(this.$("c-timeline-note"), `No score of this customer was seen lately; the last event was at ${time(known.as_of)}.`);
      return;
    }
    this.learnTypes(known, last, found);
    const visits = visitsOf(found, this.types);
    const newest = found.at(-1).purchase_intent;
    const said = `${counted(found.length, "score")} in ${counted(visits.length, "visit")}, the last one ${share(newest)} at ${time(found.at(-1).as_of)}`;
    timeline(this.$("c-timeline"), visits, {
      label: said, yText: share, high: Math.min(1, 1.1 * Math.max(0.05, ...found.map((one) => one.purchase_intent))),
    });
    const anew = share(newest) === share(known.purchase_intent) ? "" : ` Asked now, it is ${share(known.purchase_intent)}.`;
    write(this.$("c-timeline-note"), `${said}.${anew} One dot for each event; the last event of each type is named${visits.length > 1 ? ", and dashed lines part the visits" : ""}.`);
  }

  /** Remembers of which type an event was, by the time since the last one of each type. */
  learnTypes(known, last, found) {
    const free = keysOf(found).map((key, at) => ({ key, ...found[at] })).reverse();
    for (const { key, purchase } of free) if (purchase) this.types.set(key, "purchase");
    for (const [name, seconds] of last) {
      const at = known.as_of - 1000 * seconds;
      const off = free.map((one) => Math.abs(one.as_of - at));
      const place = off.indexOf(Math.min(...off));
      if (off[place] > SAME_MS) continue;
      const [{ key, purchase }] = free.splice(place, 1);
      if (!purchase) this.types.set(key, words(name));
    }
  }

  /** What was sent to the customer, the newest first. */
  showSent({ actions, now }) {
    const table = this.$("c-sent");
    table.hidden = !actions.length;
    write(this.$("c-sent-note"), actions.length ? "" : "Nothing, as far as it was seen.");
    fill(table.tBodies[0], actions.toReversed().map((one) => make(
      "tr", {}, make("th", { scope: "row" }, capital(words(one.action))),
      make("td", {}, ARMS[one.arm]),
      make("td", { class: "number" }, `${span(now.at - one.decided_at)} ago`),
      make("td", { class: one.bought_at ? "bought" : "" }, bought(one)),
    )));
  }

  startOver() {
    this.steps = [];
    this.showSteps(null);
    write(this.$("c-what-if"), "Nothing is stored: the score that the stream would give is computed. What you try adds up: each event comes ten seconds after the one before.");
  }

  async tryEvent(name, event) {
    if (this.steps.length >= MOST_STEPS) return;
    const [id, tried] = [this.id, [...this.steps, { name, event }]];
    try {
      const events = tried.map((one, at) => (at && this.now ? { ...one.event, event_time: this.now.at + APART_MS * at } : one.event));
      const answer = await ask("/v1/what-if", { customer_id: id, events, features: false });
      if (id !== this.id) return;
      this.steps = tried;
      this.showSteps(answer);
    } catch (error) {
      write(this.$("c-what-if"), error instanceof Refused ? capital(`${error.message}.`) : "The service does not answer: try again.");
    }
  }

  showSteps(answer) {
    const table = this.$("c-steps");
    table.hidden = this.$("c-again").hidden = answer === null;
    if (answer === null) return;
    let before = answer.before?.purchase_intent ?? null;
    const lines = [["Now", before, null, answer.before?.band, answer.before?.action]];
    for (const [at, said] of answer.events.entries()) {
      const after = said.purchase_intent ?? null;
      const change = before === null || after === null ? null : after - before;
      lines.push([capital(this.steps[at].name), after, change, said.band ?? said.detail ?? said.outcome, said.action]);
      before = after ?? before;
    }
    fill(table.tBodies[0], lines.map(([name, intent, change, band, action]) => make(
      "tr", {}, make("th", { scope: "row" }, name),
      make("td", { class: "number" }, intent === null ? "–" : share(intent)),
      make("td", { class: `number ${change > 0 ? "up" : change < 0 ? "down" : ""}` }, change === null ? "" : points(change)),
      make("td", {}, band ?? "–"),
      make("td", {}, action && action !== "none" ? words(action) : "–"),
    )));
    const [, first] = lines[0];
    const [name, last] = lines.at(-1);
    write(this.$("c-what-if"), last === null
      ? "The stream would say nothing after this event."
      : `${name}: ${first === null ? "" : `from ${share(first)} now to `}${share(last)}.`);
  }
}

/** Names points by their moment, and by their place among those of the same moment. */
function keysOf(found) {
  const seen = new Map();
  return found.map(({ as_of: at }) => {
    seen.set(at, (seen.get(at) ?? 0) + 1);
    return `${at}/${seen.get(at)}`;
  });
}

/** Parts the points of a timeline where nothing came for a while. */
function visitsOf(found, types) {
  const visits = [];
  const keys = keysOf(found);
  for (const [at, one] of found.entries()) {
    const pause = at ? one.as_of - found[at - 1].as_of : 0;
    if (!at || pause > PAUSE_MS) visits.push({ start: dayAndHour(one.as_of), before: `${span(pause)} later`, points: [] });
    const name = types.get(keys[at]) ?? "";
    visits.at(-1).points.push({
      y: one.purchase_intent, name, kind: one.purchase ? "purchase" : "",
      title: `${time(one.as_of)}: ${share(one.purchase_intent)}${name ? `, ${name}` : ""}`,
    });
  }
  return visits;
}
