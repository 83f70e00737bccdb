"""The page: a first screen, chapters in plain words, and folded away what only data people read.

Plotly is inlined once, and nothing is loaded from elsewhere.

A content security policy in the page forbids every request, so it opens without a network and tells nobody that it
was opened. Traces that would fetch maps or tiles are refused when the page is made. The templates escape every text;
`Markup` marks what is inserted as it is: the package's own CSS and JavaScript, and Plotly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from features.counts import counted
from offline.report.opening import Opening
from offline.report.section import Audience, Calculator, Picture, Section, Slider, Table, Text
from offline.report.tables import TableView, view_of_table
from offline.report.theme import HEIGHT, TEMPLATE

# Traces whose shapes or tiles Plotly fetches from a server.
_FETCHING: Final = frozenset(
    {"choropleth", "scattergeo"}
    | {f"{k}{m}" for k in ("scatter", "choropleth", "density") for m in ("map", "mapbox")}
)
# Of a chapter's sentences, so many stand open; the others come at a click.
_AT_ONCE: Final = 4
# Pixels of a picture on the first screen that asks for no height of its own.
_LEADING_HEIGHT: Final = 280
_CONFIG: Final = {"displaylogo": False, "responsive": True, "displayModeBar": "hover",
                  "modeBarButtonsToRemove": ["lasso2d", "select2d", "sendDataToCloud"]}  # fmt: skip


@dataclass(frozen=True)
class PictureView:
    """A picture as its template takes it.

    Attributes
    ----------
    name
        Id of its element, unique on the page.
    height
        In pixels.
    wide
        Whether it scrolls on a phone, instead of shrinking until nothing can be read.
    drawn
        What Plotly draws: ``data``, ``layout`` and ``config``, as plain values.
    """

    kind: ClassVar[str] = "picture"
    title: str
    caption: str
    name: str
    height: int
    wide: bool
    drawn: dict[str, Any]


@dataclass(frozen=True)
class TextView:
    """Sentences as their template takes them."""

    kind: ClassVar[str] = "text"
    title: str
    sentences: Sequence[str]


@dataclass(frozen=True)
class CalculatorView:
    """A calculator as its template takes it; ``name`` is the id of its element."""

    kind: ClassVar[str] = "calculator"
    title: str
    sliders: Sequence[Slider]
    data: Mapping[str, Any]
    caption: str
    name: str


PartView = TableView | PictureView | TextView | CalculatorView


@dataclass(frozen=True)
class SectionView:
    """A section as its template takes it; ``kind`` of a part names its template.

    Attributes
    ----------
    summary, more
        Sentences that are seen at once, and those that open on a click.
    shown, folded
        Parts that are seen at once, and those that open on a click.
    details
        Sentences for data people.
    content
        What is folded, in words.
    """

    key: str
    title: str
    audience: Audience
    summary: Sequence[str]
    more: Sequence[str]
    shown: Sequence[PartView]
    details: Sequence[str]
    folded: Sequence[PartView]
    content: str


def page(
    title: str,
    sections: Sequence[Section],
    *,
    opening: Opening | None = None,
    subtitle: str = "",
    note: str = "",
    footer: str = "",
) -> str:
    """Return a report as one HTML page. No sentence stands on it twice.

    Parameters
    ----------
    title, subtitle
        Headline, and a line on what was looked at.
    sections
        In the order of reading; those for data people come last.
    opening
        The first screen. With one, statistics are folded away; without, everything is open.
    note
        What a reader must know before anything else, for example that this is only a quick look.
    footer
        A last line, for example when and by what the report was made.

    Raises
    ------
    ValueError
        A picture has a trace or a map that would load something.
    """
    seen = {finding.what for finding in opening.findings} if opening is not None else set()
    first = list(opening.pictures) if opening is not None else []
    leading = [
        _view_of_picture(picture, f"first-{at}", height=_LEADING_HEIGHT) for at, picture in enumerate(first)
    ]
    views = [_view_of_section(section, first, seen, folds=opening is not None) for section in sections]
    parts = [*leading, *(part for view in views for part in (*view.shown, *view.folded))]
    pictures = [part for part in parts if isinstance(part, PictureView)]
    calculators = any(isinstance(part, CalculatorView) for part in parts)
    return _templates().get_template("page.html.j2").render(
        title=title, subtitle=subtitle, note=note, footer=footer, opening=opening, leading=leading, pictures=pictures,
        everybody=[view for view in views if view.audience == "everybody" or opening is None],
        data_people=[view for view in views if view.audience != "everybody" and opening is not None],
        calculator=_asset("calculator.js") if calculators else "",
        css=_asset("page.css"), scripts=[_asset("page.js"), _asset("tables.js")],
        plotly=Markup(get_plotlyjs()) if pictures else "",
    )  # fmt: skip


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("offline.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment


def _view_of_section(
    section: Section, first: Sequence[Picture], seen: set[str], *, folds: bool
) -> SectionView:
    """Return a section without what the page has said or shown before.

    Parameters
    ----------
    first
        Pictures of the first screen.
    seen
        Sentences of the page so far; those of the section are added.
    """
    shown: list[PartView] = []
    folded: list[PartView] = []
    for at, part in enumerate(section.parts):
        if not any(part is picture for picture in first):
            opens = part.place == "open" or not folds or section.audience != "everybody"
            (shown if opens else folded).append(_view_of_part(part, f"{section.key}-{at}"))
    summary, details = _unsaid(section.summary, seen), _unsaid(section.details, seen)
    at_once = _AT_ONCE if folds and len(summary) > _AT_ONCE + 1 else len(summary)
    return SectionView(
        section.key,
        section.title,
        section.audience,
        summary[:at_once],
        summary[at_once:],
        shown,
        details,
        folded,
        _content(folded, details),
    )


def _unsaid(sentences: Sequence[str], seen: set[str]) -> list[str]:
    """Return sentences that were not said before, and take note of them."""
    fresh = [sentence for sentence in dict.fromkeys(sentences) if sentence not in seen]
    seen.update(fresh)
    return fresh


def _content(parts: Sequence[PartView], details: Sequence[str]) -> str:
    counts = {
        "picture": sum(isinstance(part, PictureView) for part in parts),
        "table": sum(isinstance(part, TableView) for part in parts),
        "note": len(details) + sum(isinstance(part, TextView) for part in parts),
    }
    return ", ".join(counted(count, word) for word, count in counts.items() if count)


def _view_of_part(part: Table | Picture | Text | Calculator, name: str) -> PartView:
    if isinstance(part, Calculator):
        return CalculatorView(part.title, part.sliders, part.data, part.caption, name)
    if isinstance(part, Picture):
        return _view_of_picture(part, name)
    return view_of_table(part, name) if isinstance(part, Table) else TextView(part.title, part.sentences)


def _view_of_picture(picture: Picture, name: str, height: int = HEIGHT) -> PictureView:
    drawn = _drawn(picture)
    height = int(drawn["layout"].get("height") or height)
    wide = "xaxis2" in drawn["layout"] or any(trace["type"] == "heatmap" for trace in drawn["data"])
    return PictureView(picture.title, picture.caption, name, height, wide, drawn)


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


def _asset(name: str) -> Markup:
    """Return CSS or JavaScript of this package."""
    return Markup(files("offline.report").joinpath(name).read_text(encoding="utf-8"))
