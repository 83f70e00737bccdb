"""Names of clusters, each true of at least four in five members, whatever the data.

A cluster of customers is called after the group of `offline.chapters.segments.rules` that holds four in five of it;
another one, and a table's cluster of which no two traits hold that often, by the range of its members' numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.counts import counted, plural
from offline.report.words import in_words
from offline.views.log_view import LogView

#: A name is given only if it is true of this share of the members.
TRUE_OF: Final = 0.8

_MARKED: Final = 0.4
_TAILS: Final = (0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02, 0.0)
# Words for much and little of what a column's name ends with.
_LENGTHS: Final = re.compile(r"(duration|time|seconds|minutes|hours|days|length)$")
_NUMBERS: Final = re.compile(r"(pages|visits|orders|items|clicks|events|sessions|purchases|views|products)$")


def name_clusters(
    members: Sequence[pd.DataFrame], groups: Sequence[NDArray[np.object_]], view: LogView
) -> list[str]:
    """Return a name for every cluster of customers.

    Parameters
    ----------
    members
        What is known of the customers of each cluster.
    groups
        The group by rules of each of these customers.
    """
    said = []
    for own, of in zip(members, groups, strict=True):
        values, counts = np.unique(of.astype(str), return_counts=True)
        most = int(counts.argmax())
        mostly = [f"Mostly {values[most][0].lower()}{values[most][1:]}"] * bool(
            counts[most] >= TRUE_OF * len(of)
        )
        said.append([*mostly, numbers(own, view), *_further(own, view)])
    return _telling_apart(said)


def _further(own: pd.DataFrame, view: LogView) -> list[str]:
    """Return ranges of single things that are true of some customers, for clusters whose other numbers are alike."""
    says = {
        "tenure": "First seen {} days ago",
        "monetary": f"Spent {{}} {view.currency} in all",
        "recency": "Last seen {} days ago",
        "sessions": "Visits: {}",
    }
    ranges = {name: _middle(own[name]) for name in says if name in own and own[name].notna().all()}
    return [says[name].format(_span(_down(low), _up(high))) for name, (low, high) in ranges.items()]


def numbers(own: pd.DataFrame, view: LogView) -> str:
    """Return ranges of orders, time and money that hold for at least four in five of some customers, all at once."""
    columns = (
        ["purchases", "recency", "monetary"] if (own["purchases"] > 0).any() else ["sessions", "recency"]
    )
    columns = [name for name in columns if own[name].notna().all()]  # money in another currency is not known
    values = own[columns].to_numpy(np.float64)
    rounding = [(np.floor, np.ceil)] * 2 + [(_down, _up)]
    low, high = values[0], values[0]
    for tail in _TAILS:
        low = np.quantile(values, tail / 2, axis=0, method="lower")
        high = np.quantile(values, 1 - tail / 2, axis=0, method="higher")
        for at, (down, up) in enumerate(rounding[: len(columns)]):
            low[at], high[at] = down(low[at]), up(high[at])
        if np.all((values >= low) & (values <= high), axis=1).mean() >= TRUE_OF:
            break
    word = "last seen" if view.browsing else "last"
    noun = "order" if columns[0] == "purchases" else "visit"
    texts = [
        _ranged(low[0], high[0], noun),
        f"{word} {_ranged(low[1], high[1], 'day') if high[1] > 0 else '0 days'} ago",
    ]
    if len(columns) > 2 and high[2] > 0:  # noqa: PLR2004  (money)
        texts.append(f"spent {_span(low[2], high[2])} {view.currency}".strip())
    text = ", ".join(texts)
    return text[0].upper() + text[1:]


def typical(own: pd.DataFrame, view: LogView) -> str:
    """Return in words what the customer in the middle of a cluster did, and since when nothing."""
    middle = own[["purchases", "monetary", "sessions", "tenure", "recency"]].median()
    bought = _ranged(middle["purchases"], middle["purchases"], "order")
    if middle["monetary"] > 0:
        bought += f", {middle['monetary']:,.0f} {view.currency}"
    first, last = (f"{counted(middle[since], 'day')} ago" for since in ("tenure", "recency"))
    if not view.browsing:
        return f"{bought}, the first {first}, the last {last}"
    visits = _ranged(middle["sessions"], middle["sessions"], "visit")
    return f"{visits}, {bought}; first seen {first}, last {last}"


def name_rows(
    points: NDArray[np.float64], members: NDArray[np.int64], columns: Sequence[str], frame: pd.DataFrame
) -> list[str]:
    """Return a name for every group of a table's rows: up to two columns that set it apart most, and how.

    "Many", "long" and "high" mean: above the median of all; "few", "short" and "low": below it, or at it where nothing
    is smaller. What is said is true of at least `TRUE_OF` of the group. A group without such a trait is named by the
    range of its middle in the column that sets it apart most.

    Parameters
    ----------
    points
        Standardised, shape ``(rows, columns)``.
    frame
        The same rows in the columns' own units.

    Examples
    --------
    >>> points = np.repeat([[2.0, -1.0], [-0.5, 0.9]], 10, axis=0)
    >>> frame = pd.DataFrame(points, columns=["BounceRates", "PageCount"])
    >>> name_rows(points, np.repeat([0, 1], 10), list(frame), frame)
    ['High Bounce Rates, low Page Count', 'High Page Count, low Bounce Rates']
    """
    middle, least = np.median(points, axis=0), points.min(axis=0)
    said_of: list[list[str]] = []
    for group in range(int(members.max()) + 1):
        own = points[members == group]
        centre = own.mean(axis=0)
        order = np.argsort(-np.abs(centre), kind="stable")
        words: list[str] = []
        true = np.ones(len(own), np.bool_)
        for at in order:
            name = in_words(str(columns[at]))
            said = name.lower()
            # "High informational duration, high informational" would say one thing twice.
            if abs(centre[at]) < _MARKED or any(said.split()[0] in word.lower() for word in words):
                continue
            more = centre[at] > 0
            held = (
                own[:, at] > middle[at]
                if more
                else own[:, at] < max(middle[at], np.nextafter(least[at], 1e9))
            )
            if (true & held).mean() >= TRUE_OF and len(words) < 2:  # noqa: PLR2004  (traits)
                true &= held
                words.append(f"{_much(said, bool(more))} {name}")
        text = ", ".join(words)
        traits = [text[0].upper() + text[1:]] if text else []
        said_of.append([*traits, *_ranges(columns, order, frame[members == group])])
    return _telling_apart(said_of)


def _ranges(columns: Sequence[str], order: NDArray[np.intp], own: pd.DataFrame) -> list[str]:
    """Return for each column that is known of all members a range that holds `TRUE_OF` of them."""
    found = []
    for at in order:
        if columns[at] not in own or own[columns[at]].isna().any():
            continue
        low, high = _middle(own[columns[at]].astype(np.float64))
        found.append(f"{in_words(columns[at])} {_span(_down(low), _up(high))}")
    return found


def _middle(values: pd.Series) -> tuple[float, float]:
    tail = (1 - TRUE_OF) / 2
    low, high = (
        values.quantile(tail, interpolation="lower"),
        values.quantile(1 - tail, interpolation="higher"),
    )
    return float(low), float(high)


def _much(said: str, more: bool) -> str:
    if _LENGTHS.search(said):
        return "long" if more else "short"
    if _NUMBERS.search(said):
        return "many" if more else "few"
    return "high" if more else "low"


def _ranged(low: float, high: float, noun: str) -> str:
    if high <= 0:
        return f"no {noun}"
    return counted(high, noun, digits=1) if low == high else f"{_span(low, high)} {plural(noun)}"


def _span(low: float, high: float) -> str:
    return f"{low:,.12g}" if low == high else f"{low:,.12g} to {high:,.12g}"


def _down(value: float) -> float:
    return _rounded(value, np.floor)


def _up(value: float) -> float:
    return _rounded(value, np.ceil)


def _rounded(value: float, by: np.ufunc) -> float:
    """Return a number of two digits that is not above (floor), or not below (ceil), the value."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - 1)
    found = float(f"{float(by(value / unit)) * unit:.12g}")
    # Floating point may land on the wrong side of a value that is round already.
    if (by is np.floor and found > value) or (by is np.ceil and found < value):
        found = float(value)
    return found


def _telling_apart(said: Sequence[Sequence[str]]) -> list[str]:
    """Return for each group the first thing that is said of no other; groups that are alike in all get letters."""
    often = Counter(text for texts in said for text in set(texts))
    return [
        next((text for text in texts if often[text] == 1), f"Group {_letters(at)}")
        for at, texts in enumerate(said)
    ]


def _letters(at: int) -> str:
    """Return A to Z, then AA, AB and so on."""
    return ("" if at < len(ascii_uppercase) else _letters(at // len(ascii_uppercase) - 1)) + (
        ascii_uppercase[at % len(ascii_uppercase)]
    )
