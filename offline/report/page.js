// Pictures are drawn when they come near the window, in the colours and the width of the screen or of the paper.
(function () {
  "use strict";
  var boxes = Array.prototype.slice.call(document.querySelectorAll(".plot"));
  var dark = window.matchMedia("(prefers-color-scheme: dark)"), printing = false;
  // Of ink, soft ink and lines, as in theme.py and page.css.
  var INKS = { "#1f2733": "#e4e9f0", "#5b6573": "#a7b1bf", "#e3e7ec": "#333d4a", "#b6bec9": "#5a6675",
    "#e9eef4": "#2a3441", "#dfe3e8": "#3a4452" };
  var PAPER = 680, NARROW = 420, LETTERS = 13, WORDS = 15;

  function broken(text) {
    var lines = [""];
    String(text).replace(/<br>/g, " ").split(" ").forEach(function (word) {
      var last = lines[lines.length - 1];
      if (last && last.length + word.length > WORDS) { lines.push(word); } else {
        lines[lines.length - 1] = last ? last + " " + word : word;
      }
    });
    return lines.join("<br>");
  }

  function named(values) {
    return Array.isArray(values) && typeof values[0] === "string" && isNaN(Date.parse(values[0])) ?
      values.map(broken) : values;
  }

  // On a phone, names at the left must not take the room of what they name.
  function narrowed(plot) {
    plot.data.forEach(function (trace) {
      trace.y = named(trace.y);
      if (trace.type === "heatmap") { trace.x = named(trace.x); }
    });
    Object.keys(plot.layout).forEach(function (name) {
      var axis = plot.layout[name];
      if (name.indexOf("yaxis") === 0) {
        if (axis.ticktext) { axis.ticktext = named(axis.ticktext); }
        if (axis.categoryarray) { axis.categoryarray = named(axis.categoryarray); }
      }
    });
    var lines = 0, names = 0;
    plot.data.forEach(function (trace) {
      if (Array.isArray(trace.y) && typeof trace.y[0] === "string") {
        names = Math.max(names, new Set(trace.y).size);
        trace.y.forEach(function (name) { lines = Math.max(lines, name.split("<br>").length); });
      }
    });
    plot.layout.height = Math.max(plot.layout.height || 380, names * (LETTERS * lines + 10) + 130);
    var font = plot.layout.font || {};
    font.size = 11;
    plot.layout.font = font;
    plot.layout.margin = Object.assign({}, plot.layout.margin, { l: 44, r: 10 });
    return plot;
  }

  function draw(box) {
    var text = document.getElementById(box.id + "-data").textContent;
    if (dark.matches && !printing) {
      Object.keys(INKS).forEach(function (ink) { text = text.split(ink).join(INKS[ink]); });
    }
    var plot = JSON.parse(text);
    if (!printing && box.clientWidth < NARROW) {
      plot = narrowed(plot);
      box.style.height = plot.layout.height + "px";
    }
    if (printing) { plot.layout.width = PAPER; }
    box.dataset.drawn = "yes";
    return Plotly.react(box, plot.data, plot.layout, plot.config);
  }

  function drawn() { return boxes.filter(function (box) { return box.dataset.drawn; }); }

  if ("IntersectionObserver" in window) {
    var near = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
      });
    }, { rootMargin: "600px" });
    boxes.forEach(function (box) { near.observe(box); });
  } else {
    boxes.forEach(draw);
  }
  dark.addEventListener("change", function () { drawn().forEach(draw); });

  // On paper everything is open, light, and as wide as the paper.
  var opened = [];
  window.addEventListener("beforeprint", function () {
    printing = true;
    opened = Array.prototype.slice.call(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (part) { part.open = true; });
    boxes.forEach(draw);
  });
  window.addEventListener("afterprint", function () {
    printing = false;
    opened.forEach(function (part) { part.open = false; });
    drawn().forEach(draw);
  });

  function unfold() {
    var target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
  }
  window.addEventListener("hashchange", unfold);
  unfold();

  var links = {};
  document.querySelectorAll("nav a").forEach(function (link) { links[link.hash.slice(1)] = link; });
  if ("IntersectionObserver" in window) {
    var seen = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) { return; }
        Object.keys(links).forEach(function (key) { links[key].classList.remove("here"); });
        links[entry.target.id].classList.add("here");
      });
    }, { rootMargin: "-10% 0px -80% 0px" });
    Object.keys(links).forEach(function (key) {
      var target = document.getElementById(key);
      if (target) { seen.observe(target); }
    });
  }
})();
