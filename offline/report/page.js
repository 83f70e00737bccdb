// Draw a picture when it comes near the window: a page of sixty pictures then opens at once.
(function () {
  "use strict";
  function draw(box) {
    if (box.dataset.drawn) { return Promise.resolve(); }
    box.dataset.drawn = "yes";
    var plot = JSON.parse(document.getElementById(box.id + "-data").textContent);
    return Plotly.newPlot(box, plot.data, plot.layout, plot.config);
  }
  var boxes = Array.prototype.slice.call(document.querySelectorAll(".plot"));
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
  window.addEventListener("beforeprint", function () { boxes.forEach(draw); });

  var links = {};
  document.querySelectorAll("nav a").forEach(function (link) { links[link.hash.slice(1)] = link; });
  if ("IntersectionObserver" in window) {
    var seen = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting || !links[entry.target.id]) { return; }
        Object.keys(links).forEach(function (key) { links[key].classList.remove("here"); });
        links[entry.target.id].classList.add("here");
      });
    }, { rootMargin: "-10% 0px -80% 0px" });
    document.querySelectorAll("main > section").forEach(function (section) { seen.observe(section); });
  }
})();
