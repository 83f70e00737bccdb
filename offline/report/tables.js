// Tables that can be sorted, filtered and taken along as CSV.
(function () {
  "use strict";

  function exact(cell) { return cell.dataset.v === undefined ? cell.textContent : cell.dataset.v; }

  // The number that a text begins with: "1,234 (5 to 9)" is 1234, "about 3" is none.
  function number(text) {
    var found = /^[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?/i.exec(text.trim());
    return found ? Number(found[0].replace(/,/g, "").replace("−", "-")) : NaN;
  }

  // Numbers by size, texts by the alphabet, what is unknown last in both directions.
  function compare(a, b, direction) {
    var unknown = (a === "–" || a === "") - (b === "–" || b === "");
    if (unknown) { return unknown; }
    var first = number(a), second = number(b);
    if (!isNaN(first) && !isNaN(second)) { return direction * (first - second); }
    return direction * a.localeCompare(b, "en", { numeric: true });
  }

  // What a spreadsheet would run as a formula: see offline/report/spreadsheets.py.
  function plain(text) { return /^(?:[=@\t\r]|[+-](?![\d\s().,%/-]*$))/.test(text) ? "'" + text : text; }

  function quoted(text) { return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text; }

  // Rows of texts as CSV (RFC 4180).
  function csv(rows) {
    return rows.map(function (row) { return row.map(plain).map(quoted).join(","); }).join("\r\n") + "\r\n";
  }

  if (typeof module !== "undefined") {
    module.exports = { compare: compare, csv: csv };
    return;
  }

  function download(name, text) {
    var link = document.createElement("a");
    // The mark of UTF-8 at the beginning is what spreadsheets go by.
    link.href = URL.createObjectURL(new Blob(["\ufeff" + text], { type: "text/csv;charset=utf-8" }));
    link.download = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") + ".csv";
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
  }

  document.querySelectorAll(".part.table").forEach(function (part) {
    var body = part.querySelector("tbody"), most = Number(part.dataset.shown || 0);
    var search = part.querySelector("input[type=search]"), all = part.querySelector("button.all");
    var heads = Array.prototype.slice.call(part.querySelectorAll("th"));
    function rows() { return Array.prototype.slice.call(body.rows); }
    function texts(row) { return Array.prototype.map.call(row.cells, exact); }

    function show() {
      var wanted = search ? search.value.toLowerCase() : "", seen = 0;
      rows().forEach(function (row) {
        var found = row.textContent.toLowerCase().indexOf(wanted) >= 0;
        row.classList.toggle("out", !found);
        seen += found ? 1 : 0;
        row.classList.toggle("more", found && most > 0 && seen > most);
      });
      if (all) { all.style.display = most > 0 && seen > most ? "" : "none"; }
    }

    heads.forEach(function (head, at) {
      var button = head.querySelector("button");
      if (!button) { return; }
      button.addEventListener("click", function () {
        // Numbers are asked for their largest first.
        var first = head.classList.contains("n") ? "descending" : "ascending";
        var other = first === "descending" ? "ascending" : "descending";
        var order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach(function (each) { each.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", order);
        var direction = order === "ascending" ? 1 : -1;
        rows().sort(function (a, b) { return compare(exact(a.cells[at]), exact(b.cells[at]), direction); })
          .forEach(function (row) { body.appendChild(row); });
        show();
      });
    });
    if (search) { search.addEventListener("input", show); }
    if (all) { all.addEventListener("click", function () { most = 0; show(); }); }
    part.querySelector("button.csv").addEventListener("click", function (event) {
      var kept = rows().filter(function (row) { return !row.classList.contains("out"); }).map(texts);
      var titles = heads.map(function (head) { return head.textContent; });
      download(event.target.dataset.file, csv([titles].concat(kept)));
    });
    show();
  });
})();
