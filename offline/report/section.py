"""What a stage of the lab found: plain sentences, tables, pictures, and all figures for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Picture:
    """A Plotly figure and what it shows, in a sentence."""

    title: str
    figure: Figure
    caption: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a title; ``formats`` maps columns to format specifications, for example ``{"auc": ".3f"}``."""

    title: str
    frame: pd.DataFrame
    caption: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Text:
    """Sentences under a headline, for what is neither a number nor a picture."""

    title: str
    sentences: Sequence[str]


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
    """

    key: str
    title: str
    summary: Sequence[str]
    parts: Sequence[Table | Picture | Text | Calculator]
    figures: Mapping[str, Any]
