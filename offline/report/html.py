"""The page: sections with navigation, plain words first, Plotly inlined once, nothing loaded from elsewhere.

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

from offline.report.section import Calculator, Picture, Section, Slider, Table, Text
from offline.report.tables import TableView, view_of_table
from offline.report.theme import HEIGHT, TEMPLATE

# Traces whose shapes or tiles Plotly fetches from a server.
_FETCHING: Final = frozenset(
    {"choropleth", "scattergeo"}
    | {f"{k}{m}" for k in ("scatter", "choropleth", "density") for m in ("map", "mapbox")}
)
# Sentences of each section that stand together at the top.
_FIRST: Final = 2
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
    """A section as its template takes it; ``kind`` of a part names its template."""

    key: str
    title: str
    summary: Sequence[str]
    parts: Sequence[PartView]


def page(
    title: str, sections: Sequence[Section], *, subtitle: str = "", note: str = "", footer: str = ""
) -> str:
    """Return a report as one HTML page.

    Parameters
    ----------
    title, subtitle
        Headline, and a line on what was looked at.
    note
        What a reader must know before anything else, for example that this is only a quick look.
    sections
        In the order of reading; with several, a summary of all stands first.
    footer
        A last line, for example when and by what the report was made.

    Raises
    ------
    ValueError
        A picture has a trace or a map that would load something.
    """
    views = [_view_of_section(section) for section in sections]
    parts = [part for view in views for part in view.parts]
    pictures = any(isinstance(part, PictureView) for part in parts)
    calculators = any(isinstance(part, CalculatorView) for part in parts)
    return _templates().get_template("page.html.j2").render(
        title=title, subtitle=subtitle, note=note, footer=footer, sections=views, first=_FIRST,
        calculator=_asset("calculator.js") if calculators else "",
        css=_asset("page.css"), script=_asset("page.js"), plotly=Markup(get_plotlyjs()) if pictures else "",
    )  # fmt: skip


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("offline.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment


def _view_of_section(section: Section) -> SectionView:
    parts = [_view_of_part(part, f"{section.key}-{at}") for at, part in enumerate(section.parts)]
    return SectionView(section.key, section.title, section.summary, parts)


def _view_of_part(part: Table | Picture | Text | Calculator, name: str) -> PartView:
    if isinstance(part, Calculator):
        return CalculatorView(part.title, part.sliders, part.data, part.caption, name)
    if isinstance(part, Picture):
        return _view_of_picture(part, name)
    return view_of_table(part) if isinstance(part, Table) else TextView(part.title, part.sentences)


def _view_of_picture(picture: Picture, name: str) -> PictureView:
    drawn = _drawn(picture)
    height = int(drawn["layout"].get("height") or HEIGHT)
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
