"""Whose events are no customer's: the part of a policy that says so, and the file of the shop's own people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec

from features.events import MAX_ID
from features.ranges import parse_range
from features.traffic import DEFAULT_BOTS, UNITS, BotRule
from stream.decisions.reading import A_NAME, NAME, Document, Place
from stream.exceptions import PolicyError
from stream.texts import nearest

#: Rules that a policy may have, and customers that it may leave out: each round looks at all rules.
MAX_BOT_RULES: Final = 48
MAX_EXCLUDED: Final = 1_000_000

_LARGEST: Final = 64_000_000  # bytes of a file; a million ids of 36 characters are 37 MB


class Traffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose events are no customer's: those of a machine where any rule holds."""

    bots: Annotated[list[BotRule], msgspec.Meta(max_length=MAX_BOT_RULES)] = msgspec.field(
        default_factory=lambda: list(DEFAULT_BOTS)
    )


def check_traffic(traffic: Traffic, document: Document) -> None:
    """Check the rules of a file: their names, and that they ask for features alone.

    Raises
    ------
    PolicyError
        Names the place, the value, and what is allowed.
    """
    names: set[str] = set()
    for at, rule in enumerate(traffic.bots):
        place: Place = ("traffic", "bots", at)
        if not NAME.fullmatch(rule.name):
            document.fail((*place, "name"), f"{rule.name!r} is no name; {A_NAME}")
        if rule.name in names:
            document.fail((*place, "name"), f"there are two rules {rule.name!r}; rename one")
        names.add(rule.name)
        if not rule.when:
            document.fail(
                (*place, "when"), "this would hold for everybody; name a feature of `intent features`"
            )
        for name, value in rule.when.items():
            if (wrong := _fault(name, value)) is not None:
                document.fail((*place, "when", name), wrong)


def _fault(name: str, value: object) -> str | None:
    """Return what is wrong with a condition, in a sentence."""
    if name not in UNITS:
        near = nearest(name, UNITS)
        meant = f"did you mean {near}?" if near else "use a feature of `intent features`"
        return f"{name!r} says nothing about traffic; {meant}"
    try:
        parse_range(value, UNITS[name])
    except ValueError as error:
        return str(error)
    return None


def described_bots(traffic: Traffic) -> Iterator[str]:
    """Yield the lines that tell people by what a machine is known."""
    for rule in traffic.bots:
        asked = ", ".join(f"{name}: {value}" for name, value in rule.when.items())
        yield f"bot, {rule.name}: {asked}"


def read_excluded(path: Path) -> frozenset[str]:
    """Return the customer ids in a file, one a line; empty lines and spaces around ids mean nothing.

    Raises
    ------
    PolicyError
        One line: the file, the line, and what is wrong there.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise PolicyError(
            f"{path} cannot be read: {error.strerror or error}; name a file with a customer id on each line"
        ) from None
    if len(raw) > _LARGEST:
        raise PolicyError(f"{path} has more than {_LARGEST:,} bytes; leave out fewer customers")
    try:
        lines = raw.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{path}, line {number}: this is not UTF-8; save the file as UTF-8") from None
    found = set()
    for number, line in enumerate(lines, 1):
        if not (customer := line.strip()):
            continue
        if len(customer) > MAX_ID:
            raise PolicyError(
                f"{path}, line {number}: {len(customer)} characters are no customer id; use at most {MAX_ID}"
            )
        found.add(customer)
    if len(found) > MAX_EXCLUDED:
        raise PolicyError(f"{path} names {len(found):,} customers; leave out at most {MAX_EXCLUDED:,}")
    return frozenset(found)
