"""The formats by their names."""

from __future__ import annotations

from typing import Final

from stream.formats.cloudevents import CloudEvents
from stream.formats.confluent import Confluent
from stream.formats.contract import Format
from stream.formats.plain import PLAIN
from stream.setting_values import NATIVE_NAME

#: Formats that wrap events of another one.
WRAPPERS: Final[dict[str, type[CloudEvents | Confluent]]] = {
    "cloudevents": CloudEvents,
    "confluent": Confluent,
}


def format_of(name: str) -> Format | None:
    """Return a format by its name (`stream.setting_values.check_format`), ``None`` for our own form.

    Examples
    --------
    >>> format_of("confluent+segment").name, format_of("native")
    ('confluent+segment', None)
    """
    *outer, last = name.split("+")
    form: Format | None = None
    if last in PLAIN:
        form = PLAIN[last]
    elif last != NATIVE_NAME:
        form = WRAPPERS[last]()
    for wrapper in reversed(outer):
        form = WRAPPERS[wrapper](form)
    return form
