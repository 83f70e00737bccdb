// Pictures are drawn when they come near the window, in the colours and the width of the screen or of the paper.
(function () {
  "use strict";
  var boxes = Array.prototype.slice.call(document.querySelectorAll(".plot"));
  var dark = window.matchMedia("(prefers-color-scheme: dark)"), printing = false;
  // Light colours for the dark ones of theme.py: inks, lines, and what would vanish on a dark screen.
  var INKS = { "#1f2733": "#e4e9f0", "#5b6573": "#a7b1bf", "#e3e7ec": "#333d4a", "#b6bec9": "#5a6675",
    "#e9eef4": "#2a3441", "#dfe3e8": "#3a4452", "#c3cad3": "#465262", "#1769aa": "#4d9fe0", "#15803d": "#3fae6a" };
  // Widths of a sheet and of a phone, height of a line and width of a letter, in pixels; letters of a name on a phone.
  var PAPER = 680, NARROW = 420, LINE = 13, LETTER = 7, LETTERS = 15;
  // On paper, pictures a little higher than this would stand alone on a sheet.
  var SHEET_HEIGHT = 400, ALONE = 500;

  function broken(text, most) {
    var lines = [""];
    String(text).replace(/<br>/g, " ").split(" ").forEach(function (word) {
      var last = lines[lines.length - 1];
      if (last && last.length + word.length >= most) { lines.push(word); } else {
        lines[lines.length - 1] = last ? last + " " + word : word;
      }
    });
    return lines.join("<br>");
  }

  function named(values, most) {
    return Array.isArray(values) && typeof values[0] === "string" && isNaN(Date.parse(values[0])) ?
      values.map(function (text) { return broken(text, most); }) : values;
  }

  // Names below the columns of a heat map must not run into each other.
  function fitted(plot, width) {
    plot.data.forEach(function (trace) {
      var level = (plot.layout.xaxis || {}).tickangle === 0;
      if (trace.type === "heatmap" && level && Array.isArray(trace.x)) {
        var most = Math.max(6, Math.floor((width - 260) / trace.x.length / LETTER));
        trace.x = named(trace.x, most);
        var long = trace.x.some(function (name) {
          return String(name).split("<br>").some(function (line) { return line.length > most; });
        });
        if (long) { plot.layout.xaxis.tickangle = -35; }
      }
    });
  }

  // On a phone, names at the left must not take the room of what they name.
  function narrowed(plot) {
    plot.data.forEach(function (trace) {
      trace.y = named(trace.y, LETTERS);
    });
    Object.keys(plot.layout).forEach(function (name) {
      var axis = plot.layout[name];
      if (name.indexOf("yaxis") === 0) {
        if (axis.ticktext) { axis.ticktext = named(axis.ticktext, LETTERS); }
        if (axis.categoryarray) { axis.categoryarray = named(axis.categoryarray, LETTERS); }
      }
    });
    var lines = 0, names = 0;
    plot.data.forEach(function (trace) {
      if (Array.isArray(trace.y) && typeof trace.y[0] === "string") {
        names = Math.max(names, new Set(trace.y).size);
        trace.y.forEach(function (name) { lines = Math.max(lines, name.split("<br>").length); });
      }
    });
    plot.layout.height = Math.max(plot.layout.height || 380, names * (LINE * lines + 10) + 130);
    var font = plot.layout.font || {};
    font.size = 11;
    plot.layout.font = font;
    plot.layout.margin = Object.assign({}, plot.layout.margin, { l: 44, r: 10 });
  }

  function draw(box) {
    var text = document.getElementById(box.id + "-data").textContent;
    if (dark.matches && !printing) {
      Object.keys(INKS).forEach(function (ink) { text = text.split(ink).join(INKS[ink]); });
    }
    var plot = JSON.parse(text);
    fitted(plot, printing ? PAPER : box.clientWidth);
    if (printing) {
      plot.layout.width = PAPER;
      if (plot.layout.height > SHEET_HEIGHT && plot.layout.height < ALONE) { plot.layout.height = SHEET_HEIGHT; }
    } else if (box.clientWidth < NARROW) {
      narrowed(plot);
    }
    if (plot.layout.height) { box.style.height = plot.layout.height + "px"; }
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
