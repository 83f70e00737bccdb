"""Words that mean yes and no, in tables of several languages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

#: In order of preference, where a column's positive value is looked for; without case.
YES: Final = (
    "true", "yes", "y", "t", "1", "1.0", "ja", "j", "wahr", "oui", "vrai", "si", "sí", "sì", "sim", "tak",
)  # fmt: skip
NO: Final = ("false", "no", "n", "f", "0", "0.0", "nein", "falsch", "non", "faux", "não", "nao", "nie")


def word(value: Any) -> str:
    """Return a value as it is compared with the words.

    Examples
    --------
    >>> word(" Ja "), word(True)
    ('ja', 'true')
    """
    return str(value).strip().lower()


def means_yes(value: Any) -> bool:
    """Say whether a value means yes."""
    return word(value) in YES


def are_yes_and_no(values: Iterable[Any]) -> bool:
    """Say whether all values mean yes or no.

    Examples
    --------
    >>> are_yes_and_no(["Ja", "nein"]), are_yes_and_no(["yes", "maybe"])
    (True, False)
    """
    return all(word(value) in YES or word(value) in NO for value in values)
