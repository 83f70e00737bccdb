"""The page: sections with navigation, plain words first, Plotly inlined once, nothing loaded from elsewhere.

A content security policy in the page forbids every request, so it opens without a network and tells nobody that it
was opened. Traces that would fetch maps or tiles are refused when the page is made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from offline.report.section import Picture, Section, Table, Text
from offline.report.tables import html_of
from offline.report.theme import HEIGHT, TEMPLATE

#: What a browser may do with the page: run what is in it, and load nothing.
POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)

# Traces whose shapes or tiles Plotly fetches from a server.
_FETCHING: Final = frozenset(
    {"choropleth", "scattergeo"}
    | {f"{k}{m}" for k in ("scatter", "choropleth", "density") for m in ("map", "mapbox")}
)
# Sentences of each section that stand together at the top.
_FIRST: Final = 2
_CONFIG: Final = {"displaylogo": False, "responsive": True, "displayModeBar": "hover",
                  "modeBarButtonsToRemove": ["lasso2d", "select2d", "sendDataToCloud"]}  # fmt: skip


def page(title: str, sections: Sequence[Section], *, subtitle: str = "", footer: str = "") -> str:
    """Return a report as one HTML page.

    Parameters
    ----------
    title, subtitle
        Headline, and a line on what was looked at.
    sections
        In the order of reading; with several, a summary of all stands first.
    footer
        A last line, for example when and by what the report was made.

    Raises
    ------
    ValueError
        A picture has a trace or a map that would load something.
    """
    several = len(sections) > 1
    plots: list[str] = []
    body = [_overview(sections)] if several else []
    body += [_section(section, plots, headline=section.title != title) for section in sections]
    links = ['<a href="#overview">In short</a>'] if several else []
    links += [f'<a href="#{escape(s.key)}">{escape(s.title)}</a>' for s in sections]
    scripts = ""
    if plots:
        scripts = f"<script>{get_plotlyjs()}</script>\n{''.join(plots)}\n<script>{_asset('page.js')}</script>"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_asset("page.css")}</style>
</head>
<body>
<nav aria-label="Sections"><div class=brand>{escape(title)}</div>{"".join(links)}</nav>
<main>
<header><h1>{escape(title)}</h1>{f"<p class=lead>{escape(subtitle)}</p>" if subtitle else ""}</header>
{"".join(body)}
<footer>{escape(footer)}</footer>
</main>
{scripts}
</body>
</html>
"""


def _overview(sections: Sequence[Section]) -> str:
    items = "".join(
        f'<li><a href="#{escape(s.key)}">{escape(s.title)}</a><span>{escape(" ".join(s.summary[:_FIRST]))}</span></li>'
        for s in sections
        if s.summary
    )
    return f'<section id="overview"><h2>In short</h2><ul class=overview>{items}</ul></section>'


def _section(section: Section, plots: list[str], *, headline: bool) -> str:
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in section.summary)
    summary = f"<ul class=summary>{sentences}</ul>" if sentences else ""
    parts = []
    for at, part in enumerate(section.parts):
        if isinstance(part, Picture):
            parts.append(_picture(part, f"{section.key}-{at}", plots))
        else:
            parts.append(html_of(part) if isinstance(part, Table) else _text(part))
    title = f"<h2>{escape(section.title)}</h2>" if headline else ""
    return f'<section id="{escape(section.key)}">{title}{summary}{"".join(parts)}</section>'


def _text(text: Text) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in text.sentences)
    return f"<div class=part><h3>{escape(text.title)}</h3><ul class=text>{items}</ul></div>"


def _picture(picture: Picture, name: str, plots: list[str]) -> str:
    drawn = _drawn(picture)
    height = int(drawn["layout"].get("height") or HEIGHT)
    # No text of the data may end the script element.
    text = json.dumps(drawn, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    plots.append(f'<script type="application/json" id="{escape(name)}-data">{text}</script>\n')
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>" if picture.caption else ""
    # On a phone these scroll instead of shrinking until nothing can be read.
    squares = any(trace["type"] == "heatmap" for trace in drawn["data"])
    many = " many" if squares or "xaxis2" in drawn["layout"] else ""
    return (
        f"<figure class=part><h3>{escape(picture.title)}</h3>"
        f'<div class="plot{many}" id="{escape(name)}" style="height:{height}px" role="img" '
        f'aria-label="{escape(picture.title)}"></div>{caption}</figure>'
    )


def _drawn(picture: Picture) -> dict[str, Any]:
    """Return what Plotly draws: data and layout in the report's look, as plain values."""
    for trace in picture.figure.data:
        if trace.type in _FETCHING:
            raise ValueError(
                f"picture {picture.title!r}: a trace of type {trace.type} loads maps from a server"
            )
    figure = Figure(picture.figure)
    figure.update_layout(template=TEMPLATE)
    drawn: dict[str, Any] = json.loads(figure.to_json(validate=False))
    return {"data": drawn["data"], "layout": drawn["layout"], "config": _CONFIG}


def _asset(name: str) -> str:
    return files("offline.report").joinpath(name).read_text(encoding="utf-8")
