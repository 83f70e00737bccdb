// Whether the scores are right: calibration and AUC, from /v1/quality.

import { lines, reliability } from "./charts.js";
import { $, write } from "./dom.js";
import { count, dayAndHour, share, span } from "./format.js";

const NAMES = { blend: "published", network: "network", online: "online" };
// A mean prediction within a tenth of what happened is as good as anybody can ask of a day's events.
const CLOSE = 0.1;

let last = [null];

/** Draws again what is known: its place has changed. */
export const redraw = () => showQuality(...last);

export function showQuality(report, detail = "") {
  last = [report, detail];
  const blend = report?.total.blend;
  if (!blend) {
    write($("calibration"), `Not known yet: ${detail || "the learner has judged no score so far"}. Start intent learner beside the workers.`);
    write($("auc"), "");
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
  if (Math.abs(off) <= CLOSE) return `${said}: scores can be taken at their word.`;
  return `${said}: scores are ${share(Math.abs(off))} too ${off > 0 ? "high" : "low"}.`;
}

function showAuc({ windows, total }) {
  const series = Object.entries(NAMES)
    .map(([key, name]) => ({ key, name, values: windows.map((one) => [one.start, one.figures[key]?.auc ?? null]) }))
    .filter((one) => one.values.some(([, auc]) => auc !== null));
  const told = Object.entries(NAMES).filter(([key]) => total[key]?.auc != null).map(([key, name]) => `${name} ${total[key].auc.toFixed(3)}`);
  write($("auc"), told.length ? `Ranking of buyers before others, 1 is perfect, 0.5 is chance. Since learning began: ${told.join(", ")}.` : "No window has buyers and others yet.");
  if (!series.length) {
    $("auc-picture").replaceChildren();
    return;
  }
  const known = series.flatMap((one) => one.values.map(([, auc]) => auc)).filter((auc) => auc !== null);
  const low = Math.min(0.5, Math.floor(20 * Math.min(...known)) / 20);
  lines($("auc-picture"), series, {
    label: `AUC over the last ${windows.length} windows: ${told.join(", ")}`, low, high: 1, dots: windows.length < 40, height: 250,
    xText: dayAndHour, yText: (value) => value.toFixed(2),
  });
}

function percent(value) {
  const shown = 100 * value;
  return `${shown >= 10 || Number.isInteger(shown) ? shown.toFixed(0) : shown >= 0.1 ? shown.toFixed(1) : shown.toFixed(2)}%`;
}
