// The live page: follows /v1/live, and shows what comes.

import { Customer } from "./customer.js";
import { interval, lines } from "./charts.js";
import { ARMS, bought } from "./actions.js";
import { $, bars, fill, level, make, rows, write } from "./dom.js";
import { capital, count, counted, milliseconds, points, share, span, time, words } from "./format.js";
import { redraw, showQuality } from "./quality.js";
import { ask, follow, keepKey, Refused } from "./service.js";

const QUALITY_MS = 10_000;
const ROWS = 10;
const MEASURED_SECONDS = 10;
// A peak so many times as high as nine of ten values is cut off in the chart.
const BURST = 8;

let newest = null;
let receivedAt = 0;
let paused = false;
let lost = "";
const all = { customers: false, actions: false };
let following = null;
const customer = new Customer($);

function restart() {
  following?.abort();
  following = new AbortController();
  const band = document.querySelector("[data-band][aria-pressed=true]").dataset.band;
  follow(`/v1/live${band ? `?band=${band}` : ""}`, {
    signal: following.signal,
    onSnapshot(snapshot) {
      const isFirst = newest === null;
      if (lost || isFirst) write($("announce"), "Connected");
      lost = "";
      receivedAt = Date.now();
      if (!paused) {
        newest = snapshot;
        show(snapshot, isFirst);
      }
      showState();
    },
    onLost(detail) {
      if (!lost) write($("announce"), "The connection is lost, the page tries again");
      lost = detail;
      showState();
    },
    onKey: askForKey,
  });
}

function askForKey(detail) {
  $("key-form").hidden = false;
  write($("key-problem"), sessionStorage.length ? detail : "");
  write($("state-text"), "A key is needed");
  $("state").dataset.state = "lost";
  $("key").focus();
  return new Promise((resolve) => {
    $("key-form").onsubmit = (event) => {
      event.preventDefault();
      keepKey($("key").value.trim());
      $("key-form").hidden = true;
      $("key").value = "";
      resolve();
    };
  });
}

function showState() {
  const silent = Date.now() - receivedAt;
  const gone = newest !== null && (lost !== "" || silent > 3000);
  document.body.classList.toggle("stale", gone && !paused);
  if (!$("key-form").hidden) return;
  const [state, said] = newest === null
    ? lost ? ["lost", "The service does not answer"] : ["connecting", "Connecting"]
    : gone ? ["lost", `No answer for ${span(silent)}, trying again`]
    : paused ? ["paused", `Paused at ${time(newest.wall).slice(-12)}`]
    : newest.caught_up ? ["live", "Live"] : ["connecting", "Reading what came before: figures are not complete"];
  $("state").dataset.state = state;
  write($("state-text"), said);
}

function show(snapshot, isFirst) {
  showClock(snapshot);
  showFigures(snapshot);
  showCustomers(snapshot, isFirst);
  showActive(snapshot.active);
  showRates(snapshot);
  showActions(snapshot, isFirst);
  showOutcome(snapshot.actions.outcome, snapshot.now);
  showTroubles(snapshot);
  write($("foot"), `Counts begin with scores made at ${time(snapshot.since)}, of a busy shop with its newest 100,000 scores and the actions since then.${snapshot.model_version ? ` Bundle ${snapshot.model_version}.` : ""}${snapshot.masked ? " Ids are masked." : ""}`);
  customer.note(snapshot);
}

function showClock({ now, wall }) {
  write($("clock"), now.clock === "wall" ? time(wall) : `Replayed log, at ${time(now.at)}`);
}

const average = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);

/** Events and scores per second over the same last seconds: events are only counted while somebody looks. */
function means({ events, scores }) {
  const known = events.slice(-MEASURED_SECONDS).filter((value) => value !== null);
  return { events: average(known), scores: average(scores.slice(-(known.length || MEASURED_SECONDS))) };
}

function figure(name, value, unit = "", sub = "") {
  return make("div", {}, make("dt", {}, name),
    make("dd", {}, value, ...(unit ? [" ", make("span", { class: "unit" }, unit)] : [])),
    ...(sub ? [make("dd", { class: "sub" }, sub)] : []));
}

function rate(value) {
  return value === null ? "–" : value < 10 ? value.toFixed(1) : count(Math.round(value));
}

function showFigures({ about_to_buy, active, rates, latency, lag, refused, now, answered }) {
  const [p50, p99] = latency ? [milliseconds(latency.p50), milliseconds(latency.p99)] : [["–", ""], null];
  const why = now.clock === "log" ? "a replayed log has none" : "no scores for 5 min";
  const mean = means(rates);
  fill($("figures"), [
    figure("About to buy", count(about_to_buy), "", `of ${counted(active.customers, "active customer")}`),
    figure("Scores", rate(mean.scores), "per second", `events: ${rate(mean.events)} per second`),
    figure("Latency, event to score", ...p50, p99 ? `p99: ${p99.join(" ")}` : why),
    figure("Lag", lag ? count(lag.total) : "–", lag ? counted(lag.total, "event").split(" ")[1] : "", lag ? worst(lag) : answered.redis ? `Redis last answered ${span(Date.now() - answered.redis)} ago` : "Redis does not answer"),
    figure("Refused, last 24 h", count(refused.count), "records", refused.reasons.length ? `mostly ${words(refused.reasons[0].reason)}` : "all could be read"),
  ]);
}

function worst(lag) {
  const most = lag.partitions.reduce((one, other) => (other.records > one.records ? other : one), lag.partitions[0]);
  return most && most.records ? `most in partition ${most.partition}: ${count(most.records)}` : `in ${lag.partitions.length} partitions`;
}

const band = (name) => make("span", { class: `band ${name}` }, name);
const link = (id) => make("a", { href: `#customer=${encodeURIComponent(id)}` }, id);

function showCustomers({ customers, about_to_buy, now, horizon_seconds, answered }, isFirst) {
  const shown = all.customers ? customers : customers.slice(0, ROWS);
  rows($("customers").tBodies[0], shown, (one) => one.customer_id, (one) => [
    ["th", { scope: "row" }, link(one.customer_id)],
    ["td", { class: "number intent" }, level(one.purchase_intent), make("span", { class: "share" }, share(one.purchase_intent))],
    ["td", {}, band(one.band)],
    ["td", {}, one.segment.name],
    ["td", { class: "why" }, one.reasons.join("; ") || "–"],
    ["td", {}, one.action === "none" ? "–" : words(one.action), ...(one.holdout ? [" (held out)"] : [])],
    ["td", { class: "number", "data-label": "age" }, span(now.at - one.as_of)],
    ["td", { class: "number", "data-label": "expires in" }, span(one.expires_at - now.at)],
  ], { isFirst });
  $("customers").hidden = !customers.length;
  $("customers-empty").hidden = customers.length > 0;
  write($("customers-empty"), answered.score === null
    ? "No scores yet: start intent worker, and send events."
    : "Nobody is about to buy at this moment. Rows come when a score is medium or high.");
  const horizon = horizon_seconds === null ? "" : ` within ${span(1000 * horizon_seconds)}`;
  write($("customers-note"), customers.length
    ? `The likeliest ${count(shown.length)} of ${count(about_to_buy)}. Intent: probability of a purchase${horizon} after the customer’s last event. A row leaves at the purchase, when it expires, or when the score falls.`
    : "");
  showMore("customers", customers.length);
}

function showActive({ minutes, customers, bands, segments }) {
  write($("active-note"), `${count(customers)} with an event in the last ${minutes} minutes.`);
  bars($("bands").tBodies[0], ["high", "medium", "low"].map((name) => [name, bands[name]]), count);
  bars($("segments").tBodies[0], segments.map((one) => [one.name, one.customers]), count);
}

function showRates({ rates, lag }) {
  const first = rates.ends_at / 1000 - rates.scores.length;
  const every = 5; // a bar of a second is thinner than a line
  const merged = (values) => {
    const found = [];
    for (let at = 0; at < values.length; at += every) {
      const piece = values.slice(at, at + every).filter((value) => value !== null);
      found.push([first + at, piece.length ? piece.reduce((sum, one) => sum + one, 0) / piece.length : null]);
    }
    return found;
  };
  const series = [{ name: "scores", values: merged(rates.scores) }, { name: "events", values: merged(rates.events) }];
  const [high, peak] = reach(series.flatMap((one) => one.values.map(([, y]) => y ?? 0)));
  const mean = means(rates);
  const now = `${rate(mean.scores)} scores and ${rate(mean.events)} events per second at the end`;
  lines($("rates"), series, {
    label: `Events and scores per second over the last five minutes: ${now}`, low: 0, high: 1.05 * high, area: true,
    xText: (second) => (second === first ? "5 min ago" : "now"), yText: (value) => count(value),
  });
  const burst = peak > high ? ` A burst of up to ${count(Math.round(peak))} per second is cut off.` : "";
  write($("lag"), `${waiting(lag)}${burst}`);
}

/** Where a chart of rates ends, and its peak: a burst long ago does not flatten what is going on now. */
function reach(values) {
  const sorted = values.toSorted((one, other) => one - other);
  const peak = Math.max(1, sorted.at(-1));
  const usual = Math.max(1, sorted[Math.floor(0.9 * (sorted.length - 1))]);
  return [peak > BURST * usual ? 2 * usual : peak, peak];
}

function waiting(lag) {
  if (!lag) return "";
  if (!lag.total) return `Every event in the ${lag.partitions.length} partitions is scored.`;
  const behind = lag.partitions.filter((one) => one.records);
  return `Events that are not scored yet: ${behind.map((one) => `${count(one.records)} in partition ${one.partition}`).join(", ")}.`;
}

/** Counts of actions by kind: "Offer incentive: 60 sent, 24 held out". */
function kinds(counts) {
  const found = Map.groupBy(counts, (one) => one.action);
  return [...found].map(([action, arms]) => `${capital(words(action))}: ${arms
    .toSorted((one, other) => Object.keys(ARMS).indexOf(one.arm) - Object.keys(ARMS).indexOf(other.arm))
    .map((one) => `${count(one.count)} ${ARMS[one.arm]}`).join(", ")}`);
}

/** What made an action due; a rule that holds does so because of the score. */
function because(action) {
  return action.trigger === "rule_holds" ? `${action.band} band, ${action.segment.name}` : capital(words(action.trigger));
}

function showActions({ actions, now }, isFirst) {
  fill($("kinds"), kinds(actions.counts).map((one) => make("li", {}, one)));
  const shown = all.actions ? actions.newest : actions.newest.slice(0, ROWS);
  rows($("actions").tBodies[0], shown, (one) => one.action_id, (one) => [
    ["th", { scope: "row" }, link(one.customer_id)],
    ["td", {}, words(one.action)],
    ["td", { title: `Rule: ${one.rule}` }, because(one)],
    ["td", { class: "arm" }, ARMS[one.arm]],
    ["td", { class: "number", "data-label": "intent" }, share(one.purchase_intent)],
    ["td", { class: "number", "data-label": "age" }, span(now.at - one.decided_at)],
    ["td", { class: "number", "data-label": "expires" }, one.expires_at > now.at ? `in ${span(one.expires_at - now.at)}` : "expired"],
    ["td", { class: one.bought_at ? "bought" : "", "data-label": "bought" }, bought(one)],
  ], { isFirst });
  $("actions").hidden = !actions.newest.length;
  $("actions-empty").hidden = actions.newest.length > 0;
  write($("actions-empty"), "No actions yet. The policy decides them: see intent policy.");
  write($("actions-note"), actions.newest.length ? `The newest ${shown.length} of ${count(actions.counts.reduce((sum, one) => sum + one.count, 0))}. Customers who are held out get nothing, so that the effect can be measured.` : "");
  showMore("actions", actions.newest.length);
}

function showMore(table, there) {
  const button = $(`${table}-more`);
  button.hidden = there <= ROWS;
  write(button, all[table] ? `Show the first ${ROWS}` : `Show all ${there}`);
}

function showOutcome(outcome, now) {
  write($("outcome"), outcome.detail);
  if (outcome.difference === null) $("outcome-picture").replaceChildren();
  else interval($("outcome-picture"), { low: outcome.low, value: outcome.difference, high: outcome.high }, {
    label: `Difference in buyers: ${points(outcome.difference)} points, between ${points(outcome.low)} and ${points(outcome.high)}`,
    yText: points,
  });
  fill($("arms").tBodies[0], [["Sent", outcome.treatment], ["Held out", outcome.holdout]].map(([name, arm]) => make(
    "tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }, count(arm.customers)),
    make("td", { class: "number" }, count(arm.buyers)),
    make("td", { class: "number" }, arm.customers ? share(arm.buyers / arm.customers) : "–"),
  )));
  const within = outcome.window_seconds === null ? "" : `, bought within ${span(1000 * outcome.window_seconds)}`;
  const open = outcome.open ? `; ${outcome.open === 1 ? "1 is" : `${count(outcome.open)} are`} still open` : "";
  const replayed = now.clock === "log" ? " The log is replayed: nobody received anything, so there is no effect to be seen." : "";
  write($("outcome-note"), `Of each customer’s first action${within}${open}. intent uplift measures longer windows.${replayed}`);
}

function showTroubles({ alerts, refused }) {
  write($("alerts-empty"), alerts.length ? "" : "None: customers behave as in training, as far as the learner has seen.");
  fill($("alerts"), alerts.map((one) => make("li", {}, `${time(one.as_of)}: ${one.kind === "log_loss"
    ? "the network errs more than it expects"
    : "customers differ from those of the training data"} (${one.drifted.slice(0, 3).map((column) => words(column.name)).join(", ")}${one.drifted.length > 3 ? " and more" : ""})`)));
  write($("refused-note"), refused.count ? `${count(refused.count)} records since ${time(refused.since)}. intent dead-letters list shows them.` : "None in the last 24 hours.");
  bars($("refused").tBodies[0], refused.reasons.map((one) => [words(one.reason), one.count]), count);
}

async function refreshQuality() {
  if (newest !== null && !paused && $("key-form").hidden) {
    try {
      showQuality(await ask("/v1/quality"));
    } catch (error) {
      if (error instanceof Refused) showQuality(null, error.message, error.status === 404);
      else if (!(error instanceof TypeError)) throw error; // no connection: the state says so already
    }
  }
  setTimeout(refreshQuality, newest === null ? 500 : QUALITY_MS);
}

function route() {
  const found = /^#customer=(.+)$/.exec(location.hash);
  $("overview").hidden = found !== null;
  $("customer").hidden = found === null;
  document.title = found ? "Customer: purchase intent" : "Purchase intent: live";
  if (found) customer.open(decodeURIComponent(found[1]));
  else {
    customer.close();
    redraw();
  }
  window.scrollTo(0, 0);
}

for (const button of document.querySelectorAll("[data-band]")) {
  button.addEventListener("click", () => {
    for (const one of document.querySelectorAll("[data-band]")) one.setAttribute("aria-pressed", String(one === button));
    restart();
  });
}
for (const table of Object.keys(all)) {
  $(`${table}-more`).addEventListener("click", () => {
    all[table] = !all[table];
    show(newest, false);
  });
}
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  write($("pause"), paused ? "Go on" : "Pause");
  customer.paused = paused;
  showState();
});
$("find").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = `customer=${encodeURIComponent($("find-id").value.trim())}`;
});
window.addEventListener("hashchange", route);
window.addEventListener("resize", redraw);
setInterval(showState, 1000);
route();
restart();
refreshQuality();
