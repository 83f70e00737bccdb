// Small helpers: everything that is shown is text, never HTML.

export const $ = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Sets a text only where it has changed: screen readers and selections stay where they are. */
export function write(element, content) {
  if (element.textContent !== content) element.textContent = content;
}

export function level(share) {
  const bar = make("span");
  bar.style.width = `${Math.max(0, Math.min(100, 100 * share))}%`;
  return make("span", { class: "level", "aria-hidden": "true" }, bar);
}

/** Replaces children unless they would look the same. */
export function fill(parent, children) {
  const fresh = make(parent.tagName.toLowerCase());
  fresh.append(...children);
  if (fresh.innerHTML !== parent.innerHTML) parent.replaceChildren(...fresh.childNodes);
}

/**
 * Keeps one row per key, in order; rows that stay are the same elements, and the focus stays with its row.
 * cells(item) returns [tag, attributes, ...children] for each cell.
 */
export function rows(body, items, key, cells, { isFirst }) {
  const focused = document.activeElement;
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  let at = body.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let row = known.get(name);
    known.delete(name);
    if (!row) {
      row = make("tr", isFirst ? {} : { class: "new" });
      row.dataset.key = name;
    }
    for (const [place, [tag, attributes, ...children]] of cells(item).entries()) {
      const cell = make(tag, attributes, ...children);
      const old = row.cells[place];
      if (!old) row.append(cell);
      else if (old.outerHTML !== cell.outerHTML) {
        if (old.contains(focused)) old.replaceChildren(...cell.childNodes);
        else old.replaceWith(cell);
      }
    }
    if (row === at) at = at.nextElementSibling;
    else body.insertBefore(row, at);
  }
  for (const row of known.values()) row.remove();
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

/** Bars beside their names: [[name, count, attributes], ...]. */
export function bars(body, entries, counted) {
  const total = entries.reduce((sum, [, value]) => sum + value, 0);
  fill(body, entries.map(([name, value]) => make(
    "tr", {},
    make("th", { scope: "row" }, name),
    make("td", {}, level(total ? value / total : 0)),
    make("td", { class: "number" }, counted(value)),
  )));
}
