"""One of a thing is in the singular: "1 day", whatever the number in a sentence turned out to be."""

from __future__ import annotations

import re
from typing import Final

_REGULAR: Final = (
    "days", "weeks", "months", "years", "hours", "minutes", "customers", "buyers", "orders", "events", "products",
    "pieces", "segments", "channels", "refunds", "sessions", "visits", "views", "items", "lines", "pairs",
    "columns", "rows", "values", "lists", "moments", "models", "trials", "pages", "clusters",
)  # fmt: skip
_NOUNS: Final = {noun: noun[:-1] for noun in _REGULAR} | {
    "countries": "country", "categories": "category", "purchases": "purchase", "searches": "search"
}  # fmt: skip
# Not the end of another number (21, 0.1), of a range (0–1), nor a number of a day or an id (v-1).
_ONE: Final = re.compile(rf"(?<![\w.,/–-])1 ({'|'.join(_NOUNS)})\b")


def in_singular(text: str) -> str:
    """Return a sentence in which no noun after a 1 is in the plural.

    Examples
    --------
    >>> in_singular("1 days of 21 days, 1 countries in all, 0.1 days")
    '1 day of 21 days, 1 country in all, 0.1 days'
    """
    return _ONE.sub(lambda found: f"1 {_NOUNS[found[1]]}", text)
