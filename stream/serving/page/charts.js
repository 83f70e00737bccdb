// The few charts of the page, as SVG: they take the page's colours, and need no library.

const SVG = "http://www.w3.org/2000/svg";
const LEAST_WIDTH = 260;

function draw(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function text(x, y, content, attributes = {}) {
  return draw("text", { x, y, ...attributes }, content);
}

/** An empty picture as wide as its place, so that texts are as large as those around it. */
function picture(place, height, label) {
  const width = Math.max(place.clientWidth, LEAST_WIDTH);
  return [draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }), width];
}

/** Round steps between two ends: about `most` of them. */
function steps(low, high, most) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

function path(places) {
  let drawn = "";
  let open = false;
  for (const place of places) {
    if (place === null) open = false;
    else {
      drawn += `${open ? "L" : "M"}${place[0].toFixed(1)} ${place[1].toFixed(1)}`;
      open = true;
    }
  }
  return drawn;
}

/** Lines across, with what they stand for at the left. */
function levels(svg, values, { left, right, Y, yText }) {
  for (const y of values) {
    svg.append(draw("line", { class: "grid-line", x1: left, x2: right, y1: Y(y), y2: Y(y) }));
    svg.append(text(left - 6, Y(y) + 4, yText(y), { "text-anchor": "end" }));
  }
}

/**
 * Lines over time; what lies above `high` is drawn there.
 * series: [{name, values: [[x, y|null], ...]}]; the first one is the main one.
 */
export function lines(place, series, { label, xText, yText, low, high, height = 190, dots = false, area = false }) {
  const [svg, width] = picture(place, height, label);
  const all = series.flatMap((one) => one.values);
  const xs = all.map(([x]) => x);
  const [left, right, top, bottom] = [44, width - 10, series.length > 1 ? 26 : 12, height - 24];
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const X = (x) => (last > first ? left + ((right - left) * (x - first)) / (last - first) : (left + right) / 2);
  const Y = (y) => bottom - ((bottom - top) * (Math.min(y, high) - low)) / (high - low || 1);
  levels(svg, steps(low, high, 4), { left, right, Y, yText });
  svg.append(text(left, height - 6, xText(first)));
  if (last > first) svg.append(text(right, height - 6, xText(last), { "text-anchor": "end" }));
  for (const [number, { values }] of [...series.entries()].reverse()) {
    const places = values.map(([x, y]) => (y === null ? null : [X(x), Y(y)]));
    if (area && number === 0 && !places.includes(null) && places.length > 1) {
      svg.append(draw("path", { class: "area", d: `${path(places)}L${places.at(-1)[0]} ${bottom}L${places[0][0]} ${bottom}Z` }));
    }
    svg.append(draw("path", { class: `line s${number}`, d: path(places) }));
    if (dots) for (const place of places) if (place) svg.append(draw("circle", { class: `s${number}`, cx: place[0], cy: place[1], r: 2.5 }));
  }
  if (series.length > 1) {
    let x = left;
    for (const [number, { name }] of series.entries()) {
      svg.append(draw("path", { class: `line s${number}`, d: `M${x} 10h18` }));
      svg.append(text(x + 23, 14, name, { class: `name s${number}` }));
      x += 40 + 7 * name.length;
    }
  }
  place.replaceChildren(svg);
}

const ROW = 15;
const LETTER = 6.4;

/**
 * Values one after another, by visits: within a visit a line, between two of them the time that passed.
 * visits: [{start, before, points: [{y, name, kind, title}, ...]}]; start and before are texts, names stand above their dots.
 */
export function timeline(place, visits, { label, yText, high }) {
  const all = visits.flatMap((visit) => visit.points);
  const [left, right] = [44, Math.max(place.clientWidth, LEAST_WIDTH) - 12];
  const slot = (right - left) / (all.length + visits.length - 1);
  let x = left + slot / 2;
  for (const visit of visits) {
    for (const point of visit.points) {
      point.x = x;
      x += slot;
    }
    x += slot;
  }
  const names = stairs(all);
  const top = 12 + ROW * names;
  const bottom = top + 150;
  const height = bottom + 24;
  const [svg] = picture(place, height, label);
  const Y = (y) => bottom - ((bottom - top) * y) / high;
  levels(svg, steps(0, high, 4), { left, right, Y, yText });
  let free = left;
  for (const [number, visit] of visits.entries()) {
    const places = visit.points.map((point) => [point.x, Y(point.y)]);
    const [first, last] = [places[0], places.at(-1)];
    if (number) {
      const at = first[0] - slot;
      svg.append(draw("line", { class: "pause", x1: at, x2: at, y1: top, y2: bottom }, draw("title", {}, visit.before)));
    }
    const start = Math.min(first[0], right - LETTER * visit.start.length);
    if (start >= free || number === visits.length - 1) {
      if (start < free) svg.querySelector("text.start:last-of-type")?.remove();
      svg.append(text(start, height - 6, visit.start, { class: "start" }));
      free = start + LETTER * visit.start.length + 12;
    }
    svg.append(draw("path", { class: "area", d: `${path(places)}L${last[0]} ${bottom}L${first[0]} ${bottom}Z` }));
    svg.append(draw("path", { class: "line s0", d: path(places) }));
  }
  for (const point of all) {
    if (point.row !== undefined) {
      const y = 12 + ROW * (names - 1 - point.row);
      svg.append(draw("line", { class: "leader", x1: point.x, x2: point.x, y1: y - 9, y2: Y(point.y) }));
      svg.append(text(point.x - 4, y, point.name, { "text-anchor": "end" }));
    }
    svg.append(draw("circle", { class: point.kind, cx: point.x, cy: Y(point.y), r: point.kind ? 5 : 3.5 }, draw("title", {}, point.title)));
  }
  place.replaceChildren(svg);
}

/** Finds rows for the names at the left of their lines, the lowest first, so that none lies on another or on a line; returns how many. */
function stairs(points) {
  const known = points.filter((one) => one.name);
  for (const [at, point] of known.entries()) {
    const from = point.x - LETTER * point.name.length - 8;
    point.row = 1 + Math.max(-1, ...known.slice(0, at).filter((one) => one.x > from).map((one) => one.row));
  }
  return 1 + Math.max(-1, ...known.map((one) => one.row));
}

/** What was predicted against what happened, on logarithmic scales: both shares of scores. */
export function reliability(place, bins, { label, yText }) {
  const height = 250;
  const [svg, width] = picture(place, height, label);
  const positive = bins.flatMap((bin) => [bin.predicted, bin.observed]).filter((one) => one > 0);
  const low = 10 ** Math.floor(Math.log10(Math.max(Math.min(...positive), 1e-4)));
  const [left, right, top, bottom] = [48, width - 12, 10, height - 36];
  const depth = -Math.log10(low);
  const along = (value) => 1 + Math.log10(Math.max(value, low)) / depth;
  const X = (value) => left + (right - left) * along(value);
  const Y = (value) => bottom - (bottom - top) * along(value);
  for (let power = -depth; power <= 0; power += 1) {
    const value = 10 ** power;
    svg.append(draw("line", { class: "grid-line", x1: left, x2: right, y1: Y(value), y2: Y(value) }));
    svg.append(draw("line", { class: "grid-line", x1: X(value), x2: X(value), y1: top, y2: bottom }));
    svg.append(text(left - 6, Y(value) + 4, yText(value), { "text-anchor": "end" }));
    svg.append(text(X(value), bottom + 16, yText(value), { "text-anchor": power === 0 ? "end" : "middle" }));
  }
  svg.append(draw("path", { class: "truth", d: `M${X(low)} ${Y(low)}L${X(1)} ${Y(1)}` }));
  const most = Math.max(...bins.map((bin) => bin.weight));
  for (const bin of bins) {
    const said = `predicted ${yText(bin.predicted)}, bought ${yText(bin.observed)}`;
    svg.append(draw("circle", { cx: X(bin.predicted), cy: Y(bin.observed), r: 3 + 4 * Math.sqrt(bin.weight / most) }, draw("title", {}, said)));
  }
  svg.append(text((left + right) / 2, height - 4, "predicted", { "text-anchor": "middle" }));
  svg.append(text(left + 6, top + 12, "bought"));
  place.replaceChildren(svg);
}

/** An interval beside zero. */
export function interval(place, { low, value, high }, { label, yText }) {
  const [svg, width] = picture(place, 54, label);
  const [left, right] = [20, width - 20];
  const reach = 1.1 * Math.max(Math.abs(low), Math.abs(high));
  const X = (x) => (left + right) / 2 + ((right - left) / 2) * (x / reach);
  svg.append(draw("line", { class: "zero", x1: X(0), x2: X(0), y1: 4, y2: 34 }));
  svg.append(draw("line", { class: "interval", x1: X(low), x2: X(high), y1: 19, y2: 19 }));
  svg.append(draw("circle", { cx: X(value), cy: 19, r: 6 }));
  svg.append(text(X(0), 49, "no effect", { "text-anchor": "middle" }));
  for (const [x, anchor] of [[low, "end"], [high, "start"]]) {
    svg.append(text(X(x) + (anchor === "end" ? -8 : 8), 23, yText(x), { "text-anchor": anchor }));
  }
  place.replaceChildren(svg);
}
