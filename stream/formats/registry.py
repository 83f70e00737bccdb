"""The formats by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stream.formats.contract import Format
from stream.formats.ga4 import GA4
from stream.formats.segment import Segment
from stream.settings import NATIVE_NAME

#: Formats of events.
FORMATS: Final[Mapping[str, Callable[[], Format]]] = {
    GA4.name: GA4,
    Segment.name: Segment,
}


def format_of(name: str) -> Format | None:
    """Return a format by its name, ``None`` for our own form.

    Examples
    --------
    >>> format_of("segment").name, format_of("native")
    ('segment', None)
    """
    return None if name == NATIVE_NAME else FORMATS[name]()
