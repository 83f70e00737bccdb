"""What a stage of the lab found: plain sentences, tables, pictures, and all figures for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pandas as pd
from plotly.graph_objects import Figure

#: Where a part stands on a page with a first screen: on it, open in its chapter, or folded away for data people.
#: A page of one chapter without a first screen shows all parts in their order.
Place = Literal["lead", "open", "folded"]
#: Whom a chapter is for. One for data people is folded as a whole.
Audience = Literal["everybody", "data people"]


@dataclass(frozen=True)
class Picture:
    """A Plotly figure and what it shows, in a sentence."""

    title: str
    figure: Figure
    caption: str = ""
    place: Place = "folded"


@dataclass(frozen=True)
class Table:
    """A table with a title; ``formats`` maps columns to format specifications, for example ``{"auc": ".3f"}``."""

    title: str
    frame: pd.DataFrame
    caption: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)
    place: Place = "folded"


@dataclass(frozen=True)
class Text:
    """Sentences under a headline, for what is neither a number nor a picture."""

    title: str
    sentences: Sequence[str]
    place: Place = "folded"


class Slider(NamedTuple):
    """A number that the reader sets; ``value`` is None until then.

    Attributes
    ----------
    name
        By which the page's script takes it.
    most
        Right end of the slider; the left one is 0.
    percent
        Whether the number is a share, shown in per cent.
    """

    name: str
    label: str
    value: float | None
    most: float
    percent: bool = False


@dataclass(frozen=True)
class Calculator:
    """What contacts would bring, computed on the page from what the reader sets (``calculator.js``).

    Attributes
    ----------
    data
        What is counted by threshold, as plain values; see `offline.chapters.insight.profit.Contacts`.
    """

    title: str
    sliders: Sequence[Slider]
    data: Mapping[str, Any]
    caption: str = ""
    place: Place = "open"


@dataclass(frozen=True)
class Finding:
    """What somebody can act on: one of the few that a report begins with.

    Attributes
    ----------
    what
        The finding, in a sentence with its figure.
    sure
        How sure that is: an interval, a test, or that it was counted.
    advice
        What to do about it.
    count, unit
        How many it is about, and what they are in the plural; None where that has no meaning.
    file
        Name of the file in the report's folder that lists them; empty where there is none.
    """

    what: str
    sure: str
    advice: str
    count: int | None = None
    unit: str = "customers"
    file: str = ""


@dataclass(frozen=True)
class Section:
    """One chapter of the report.

    Attributes
    ----------
    key
        Short name, for anchors, files and the JSON: "exploration".
    title
        Headline for people.
    summary
        What a marketing team should take away: a few plain sentences, each with its figure.
    parts
        Tables, pictures, texts and calculators in the order of reading.
    figures
        Everything that the section says, as plain values that JSON can hold.
    details
        Further sentences, with terms that only data people know.
    findings
        For the first screen, the best one first.
    audience
        Whom the chapter is for.
    """

    key: str
    title: str
    summary: Sequence[str]
    parts: Sequence[Table | Picture | Text | Calculator]
    figures: Mapping[str, Any]
    details: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    audience: Audience = "everybody"
