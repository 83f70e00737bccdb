// Whether the scores are right: calibration and AUC, from /v1/quality.

import { lines, reliability } from "./charts.js";
import { $, write } from "./dom.js";
import { capital, count, dayAndHour, share, span } from "./format.js";

const NAMES = { blend: "published", network: "network", online: "online" };
// A mean prediction within a tenth of what happened is as good as anybody can ask of a day's events.
const CLOSE = 0.1;
// A purchase follows some scores of one customer, all of which foresaw it or not: so many count as one.
const SCORES_OF_A_PURCHASE = 5;
// Of a window with fewer buyers, or fewer others, the AUC is chance.
const LEAST_IN_A_WINDOW = 10;

let last = [null];

/** Draws again what is known: its place has changed. */
export const redraw = () => showQuality(...last);

/** Shows the figures; without them why there are none: `isUnknown` where the learner has none yet. */
export function showQuality(report, detail = "", isUnknown = false) {
  last = [report, detail, isUnknown];
  const blend = report?.total.blend;
  if (!blend) {
    write($("calibration"), detail && !isUnknown ? capital(`${detail}.`) : "Not known yet. A learner (intent learner) judges scores once their horizon has passed.");
    write($("auc"), detail && !isUnknown ? "" : "Not known yet.");
    $("calibration-picture").replaceChildren();
    $("auc-picture").replaceChildren();
    return;
  }
  write($("calibration"), calibrated(blend, report.horizon_seconds));
  if (blend.reliability.length) reliability($("calibration-picture"), blend.reliability, {
    label: `Predicted against observed share of buyers in ${blend.reliability.length} groups of scores. ${calibrated(blend, report.horizon_seconds)}`,
    yText: percent,
  });
  showAuc(report);
}

/** Calibration in one sentence. */
function calibrated(figures, horizon) {
  const weight = figures.reliability.reduce((sum, bin) => sum + bin.weight, 0);
  const predicted = figures.reliability.reduce((sum, bin) => sum + bin.weight * bin.predicted, 0) / (weight || 1);
  const said = `Of ${count(Math.round(figures.examples))} scores ${share(predicted)} were predicted to be followed by a purchase within ${span(1000 * horizon)}, and ${share(figures.prevalence)} were`;
  if (!figures.prevalence) return `${said}: too few purchases to judge by.`;
  const off = predicted / figures.prevalence - 1;
  const chance = 2 * Math.sqrt(SCORES_OF_A_PURCHASE / (figures.prevalence * figures.examples));
  if (Math.abs(off) <= CLOSE) return `${said}: scores can be taken at their word.`;
  if (Math.abs(off) <= chance) return `${said}: with so few purchases the difference may be chance.`;
  return `${said}: scores are ${share(Math.abs(off))} too ${off > 0 ? "high" : "low"}.`;
}

function showAuc({ windows: all, total }) {
  const windows = all.filter(({ figures: { blend } }) => blend && Math.min(blend.prevalence, 1 - blend.prevalence) * blend.examples >= LEAST_IN_A_WINDOW);
  const series = Object.entries(NAMES)
    .map(([key, name]) => ({ key, name, values: windows.map((one) => [one.start, one.figures[key]?.auc ?? null]) }))
    .filter((one) => one.values.some(([, auc]) => auc !== null));
  const told = Object.entries(NAMES).filter(([key]) => total[key]?.auc != null).map(([key, name]) => `${name} ${total[key].auc.toFixed(3)}`);
  const few = windows.length < 2 ? " There are too few purchases in a window for a picture over time." : "";
  write($("auc"), told.length ? `Ranking of buyers before others: 1 is perfect, 0.5 is chance. Since learning began: ${told.join(", ")}.${few}` : "No window has buyers and others yet.");
  if (!series.length || few) {
    $("auc-picture").replaceChildren();
    return;
  }
  const known = series.flatMap((one) => one.values.map(([, auc]) => auc)).filter((auc) => auc !== null);
  const low = Math.min(0.5, Math.floor(20 * Math.min(...known)) / 20);
  lines($("auc-picture"), series, {
    label: `AUC over the last ${windows.length} windows: ${told.join(", ")}`, low, high: 1, dots: true, height: 250,
    xText: dayAndHour, yText: (value) => value.toFixed(2),
  });
}

function percent(value) {
  const shown = 100 * value;
  return `${shown >= 10 || Number.isInteger(shown) ? shown.toFixed(0) : shown >= 0.1 ? shown.toFixed(1) : shown.toFixed(2)}%`;
}
