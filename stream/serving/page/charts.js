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

/**
 * Lines over time.
 * series: [{name, values: [[x, y|null], ...]}]; the first one is the main one.
 */
export function lines(place, series, { label, xText, yText, low, high, height = 190, marks = [], dots = false, area = false }) {
  const [svg, width] = picture(place, height, label);
  const all = series.flatMap((one) => one.values);
  const xs = all.map(([x]) => x).concat(marks.map((mark) => mark.x));
  const [left, right, top, bottom] = [44, width - 10, series.length > 1 ? 26 : 12, height - 24];
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const X = (x) => (last > first ? left + ((right - left) * (x - first)) / (last - first) : (left + right) / 2);
  const Y = (y) => bottom - ((bottom - top) * (y - low)) / (high - low || 1);
  for (const y of steps(low, high, 4)) {
    svg.append(draw("line", { class: "grid-line", x1: left, x2: right, y1: Y(y), y2: Y(y) }));
    svg.append(text(left - 6, Y(y) + 4, yText(y), { "text-anchor": "end" }));
  }
  svg.append(text(left, height - 6, xText(first)));
  if (last > first) svg.append(text(right, height - 6, xText(last), { "text-anchor": "end" }));
  for (const mark of marks) {
    svg.append(draw("line", { class: "tick", x1: X(mark.x), x2: X(mark.x), y1: bottom - 9, y2: bottom }, draw("title", {}, mark.name)));
  }
  for (const [number, { values }] of [...series.entries()].reverse()) {
    const places = values.map(([x, y]) => (y === null ? null : [X(x), Y(y)]));
    if (area && number === 0 && !places.includes(null) && places.length > 1) {
      svg.append(draw("path", { class: "area", d: `${path(places)}L${places.at(-1)[0]} ${bottom}L${places[0][0]} ${bottom}Z` }));
    }
    svg.append(draw("path", { class: `line s${number}`, d: path(places) }));
    if (dots) {
      for (const [at, place] of places.entries()) {
        if (place) svg.append(draw("circle", { class: values[at][2] ?? "", cx: place[0], cy: place[1], r: values[at][2] ? 5 : 2.5 }));
      }
    }
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
