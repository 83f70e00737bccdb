// What contacts would have brought, from counts by threshold and what the reader says of value, margin, cost and effect.
(function () {
  "use strict";

  function quantile(values, share) {
    var sorted = values.slice().sort(function (a, b) { return a - b; });
    var at = share * (sorted.length - 1), low = Math.floor(at), high = Math.ceil(at);
    return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
  }

  function ends(values) { return [quantile(values, 0.025), quantile(values, 0.975)]; }

  function argmax(values) {
    return values.reduce(function (best, value, at) { return value > values[best] ? at : best; }, 0);
  }

  // The same as `profit_curve` in Python, with the same replicates.
  function contactProfit(data, value, margin, cost, effect) {
    var gain = value * margin * effect;
    var threshold = gain > 0 ? cost / gain : Infinity;
    function money(purchases, contacts) {
      return purchases.map(function (count, at) { return gain * count - cost * contacts[at]; });
    }
    var brought = money(data.purchases, data.contacts);
    var drawn = data.drawn_purchases.map(function (row, at) { return money(row, data.drawn_contacts[at]); });
    function column(at) { return drawn.map(function (row) { return row[at]; }); }
    var intervals = brought.map(function (_, at) { return ends(column(at)); });
    var rule = data.threshold.findIndex(function (at) { return at >= threshold - 1e-6; });
    if (rule < 0) { rule = brought.length - 1; }
    var best = argmax(brought), bests = drawn.map(argmax), flattered = 0;
    bests.forEach(function (at, row) { flattered += (drawn[row][at] - brought[at]) / drawn.length; });
    function estimate(at, less) {
      return { value: brought[at] - less, low: intervals[at][0] - less, high: intervals[at][1] - less };
    }
    return {
      threshold: threshold, brought: brought, intervals: intervals, rule: rule, byRule: estimate(rule, 0),
      everybody: estimate(0, 0), best: best, byBest: estimate(best, flattered),
      bestShares: ends(bests.map(function (at) { return data.contacted[at]; }))
    };
  }

  function sure(money) { return money.low > 0 || money.high < 0; }

  function number(value) { return Math.round(value).toLocaleString("en"); }

  function interval(money) {
    return number(money.value) + " (" + number(money.low) + " to " + number(money.high) + ")";
  }

  function percent(share) { return (100 * share).toFixed(share < 0.1 ? 1 : 0) + "%"; }

  function sentences(data, found) {
    var unit = data.unit + "s", share = data.contacted[found.rule];
    if (found.threshold > 1) { return ["No contact pays: it costs more than it can bring."]; }
    var said = ["A contact pays from a probability of " + percent(found.threshold) + " on: " + percent(share) +
      " of the " + unit + ". Contacting them would have brought " + interval(found.byRule) + " " + data.currency +
      "; contacting everybody, " + interval(found.everybody) + "."];
    if (!sure(found.byRule)) {
      said.push("The interval holds 0, so the data do not tell whether contacts pay.");
    }
    if (data.contacted[found.best] > 0 && sure(found.byBest) && found.byBest.value > 0) {
      said.push("Looking back, contacting the likeliest " + percent(data.contacted[found.best]) + " (" +
        percent(found.bestShares[0]) + " to " + percent(found.bestShares[1]) + ") would have been best: " +
        interval(found.byBest) + " " + data.currency + ", less what looking back flatters.");
    } else {
      said.push("Looking back, no share of them is sure to have brought a profit.");
    }
    return said;
  }

  if (typeof module !== "undefined") {
    module.exports = { contactProfit: contactProfit, sentences: sentences };
    return;
  }

  var SVG = "http://www.w3.org/2000/svg";

  function shape(svg, kind, attributes, text) {
    var element = document.createElementNS(SVG, kind);
    Object.keys(attributes).forEach(function (name) { element.setAttribute(name, attributes[name]); });
    if (text) { element.textContent = text; }
    svg.appendChild(element);
  }

  function draw(svg, data, found) {
    while (svg.firstChild) { svg.removeChild(svg.firstChild); }
    var all = [0].concat(found.brought, found.intervals[0], found.intervals[found.best]);
    var low = Math.min.apply(null, all), high = Math.max.apply(null, all), span = high - low || 1;
    function x(share) { return 10 + 580 * share; }
    function y(money) { return 150 - 135 * (Math.min(Math.max(money, low), high) - low) / span; }
    function points(values) {
      return values.map(function (money, at) { return x(data.contacted[at]) + "," + y(money); });
    }
    var lower = points(found.intervals.map(function (pair) { return pair[0]; }));
    var upper = points(found.intervals.map(function (pair) { return pair[1]; }));
    shape(svg, "polygon", { points: lower.concat(upper.reverse()).join(" "), fill: "#1769aa", opacity: 0.18 });
    shape(svg, "line", { x1: 10, x2: 590, y1: y(0), y2: y(0), stroke: "#8a94a3", "stroke-dasharray": "3 3" });
    shape(svg, "polyline", { points: points(found.brought).join(" "), fill: "none", stroke: "#1769aa", "stroke-width": 2.5 });
    shape(svg, "circle", { cx: x(data.contacted[found.rule]), cy: y(found.byRule.value), r: 5, fill: "#d9730d" });
    shape(svg, "text", { x: 10, y: 12, "font-size": 13, fill: "currentColor" }, number(high) + " " + data.currency);
    shape(svg, "text", { x: 10, y: 174, "font-size": 13, fill: "currentColor" }, "nobody");
    shape(svg, "text", { x: 300, y: 174, "font-size": 13, fill: "currentColor", "text-anchor": "middle" },
      "profit by how many are contacted; dot: from the probability on at which it pays");
    shape(svg, "text", { x: 590, y: 174, "font-size": 13, fill: "currentColor", "text-anchor": "end" }, "all");
  }

  document.querySelectorAll("form.calculator").forEach(function (form) {
    var data = JSON.parse(document.getElementById(form.id + "-data").textContent);
    var output = form.querySelector("output"), svg = form.querySelector("svg");
    var names = ["value", "margin", "cost", "effect"];
    function say(lines) {
      output.textContent = "";
      lines.forEach(function (line) {
        var paragraph = document.createElement("p");
        paragraph.textContent = line;
        output.appendChild(paragraph);
      });
    }
    function update() {
      var set = names.map(function (name) {
        var field = form.elements[name];
        return field.value === "" ? null : Number(field.value) / Number(field.dataset.scale);
      });
      var missing = names.filter(function (_, at) { return set[at] === null || !(set[at] >= 0); });
      svg.style.display = missing.length ? "none" : "block";
      if (missing.length) { return say(["Still to be set: " + missing.join(", ") + "."]); }
      var found = contactProfit(data, set[0], set[1], set[2], set[3]);
      say(sentences(data, found));
      draw(svg, data, found);
    }
    form.addEventListener("input", function (event) {
      var slider = event.target, name = slider.dataset.for;
      if (name) {
        form.elements[name].value = Number(slider.value).toPrecision(3);
      } else {
        form.querySelector("[data-for=" + slider.name + "]").value = slider.value;
      }
      update();
    });
    update();
  });
})();
