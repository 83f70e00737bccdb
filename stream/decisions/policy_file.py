"""The policy file: read, checked, and said again in full.

What is wrong is one sentence: the place, the value, and what is allowed there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from features.durations import duration_text
from features.traffic import BotRule
from stream.decisions.policy import PRICE_DROPPED, Bounds, Holdout, Limits, Policy, Quiet, Rule
from stream.decisions.policy_checks import (
    check_bands,
    check_durations,
    check_holdout,
    check_order,
    check_quiet,
    check_triggers,
    check_words,
)
from stream.decisions.reading import Document, Place, read_document
from stream.decisions.traffic import Traffic, check_traffic
from stream.texts import choices, shortened

_AT_PATH: Final = re.compile(r"(.*?)(?: - at `([^`]*)`)?", re.DOTALL)
_UNKNOWN_KEY: Final = re.compile(r"Invalid enum value '(.*)' - at `key` in `\$\.(\w+)`")
_WORDS: Final = {
    "str": "a text", "int": "a whole number", "float": "a number", "array": "a list", "object": "`name: value` pairs",
}  # fmt: skip
_DURATIONS: Final = frozenset({"after", "every", "expires", "cooldown"})
_SHARES: Final = frozenset({"share", "managed", "enter", "leave"})
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]|\[(\.\.\.)\]")


def read_policy(path: Path) -> Policy:
    """Return the policy in a file.

    Raises
    ------
    PolicyError
        One line: the file, the place, what is wrong there, and what is allowed.
    """
    return _checked(read_document(path))


def parse_policy(text: str, name: str = "policy") -> Policy:
    """Return the policy in a text; ``name`` stands for the file in errors."""
    return _checked(Document(text, name))


def default_text() -> str:
    """Return the policy file that comes with the program."""
    return files("stream.decisions").joinpath("default.yaml").read_text(encoding="utf-8")


def default_policy() -> Policy:
    """Return the policy that holds where the shop has none of its own."""
    return parse_policy(default_text(), "default.yaml")


def described(policy: Policy) -> Iterator[str]:
    """Yield the lines that tell people what a policy does."""
    for rule in policy.ordered:
        asked = ", ".join(f"{name}: {_shown(value)}" for name, value in rule.when.items()) or "always"
        silence = policy.silence_ms(rule)
        after = f" after {duration_text(timedelta(milliseconds=silence))}" if silence else ""
        if rule.trigger == PRICE_DROPPED:
            pace = duration_text(timedelta(milliseconds=policy.compared_every_ms))
            only = _ONLY.get(rule.of, "")
            after = f" by {100 * policy.least_drop(rule):g}%{only}, looked at every {pace}"
        yield f"{rule.name}: {rule.action} ({rule.trigger}{after}; {asked})"


# Characters that a version has at most: it stands in every action.
_VERSION: Final = 64

# Where a rule looks for items, if not in both.
_ONLY: Final[dict[object, str]] = {"cart": " in the cart alone", "wishlist": " on the wish list alone"}


def _shown(value: Any) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def _checked(document: Document) -> Policy:
    if not isinstance(document.value, dict):
        document.fail((), "this is no policy; write `version:` and `rules:`")
    try:
        policy = msgspec.convert(document.value, Policy)
    except msgspec.ValidationError as error:
        place, sentence = _explained(str(error), document.value)
        document.fail(place, sentence)
    if not str(policy.version).isprintable() or len(str(policy.version)) > _VERSION:
        document.fail(("version",), f"use up to {_VERSION} printable characters in one line")
    check_words(policy, document)
    check_durations(policy, document)
    check_bands(policy, document)
    check_holdout(policy, document)
    check_quiet(policy, document)
    check_triggers(policy, document)
    check_traffic(policy.traffic, document)
    check_order(policy, document)
    return policy


def _explained(message: str, value: Any) -> tuple[Place, str]:
    """Return where msgspec found something wrong, and the sentence for it."""
    if found := _UNKNOWN_KEY.fullmatch(message):
        names = get_args(get_args(get_type_hints(Policy)[found[2]])[0])
        return (found[2], found[1]), f"there is no {found[1]!r} here; {choices(found[1], names)}"
    match = _AT_PATH.fullmatch(message)
    said, path = (match[1], match[2] or "$") if match else (message, "$")
    place: list[str | int] = []
    for name, position, _ in _STEP.findall(path):
        if name:
            place.append(name)
        elif position:
            place.append(int(position))
        elif isinstance(value, dict):
            place.append(_misfit(value, _kind_at(place) or Policy))
        value = _inside(value, place[-1]) if place else value
    if found := re.fullmatch(r"Object contains unknown field `(.*)`", said):
        kind = _kind_at(place)
        known = (
            choices(found[1], kind.__struct_encode_fields__) if kind else "use only what docs/policy.md names"
        )
        return (*place, found[1]), f"there is no {found[1]!r} here; {known}"
    if found := re.fullmatch(r"Object missing required field `(.*)`", said):
        return tuple(place), f"{found[1]!r} is missing; add it"
    wanted = _wanted(place, value) or re.sub(
        "`([^`]*)`", lambda types: _in_words(types[1]), re.sub(", got .*", "", said)
    )
    shown = "nothing" if value is None else shortened(repr(value), 60)
    return tuple(place), f"{shown} cannot be used; {wanted[0].lower()}{wanted[1:]}"


def _wanted(place: Sequence[str | int], value: Any) -> str:
    """Return what to write at a place instead of a value, where the type alone does not say it."""
    name = place[-1] if place else ""
    if name in _DURATIONS:
        return "write a duration, such as 45m, 12h or 30d"
    if name in _SHARES:
        return "write a number from 0 to 1, such as 0.2"
    kind = _kind_at(place[:-1]) if place else None
    hint = get_type_hints(kind).get(str(name)) if kind else None
    words = [word for one in (hint, *get_args(hint)) if get_origin(one) is Literal for word in get_args(one)]
    return choices(str(value), [str(word) for word in words]) if words else ""


def _misfit(values: dict[str, Any], kind: type[msgspec.Struct]) -> str:
    """Return the first key whose value is not of a kind: msgspec does not say which."""
    for name, value in values.items():
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return name
    return next(iter(values))


def _in_words(types: str) -> str:
    """Return types of JSON as people call them."""
    return " or ".join(_WORDS.get(name, name) for name in types.split(" | ") if name != "null")


def _inside(value: Any, step: str | int) -> Any:
    try:
        return value[step]
    except (KeyError, IndexError, TypeError):
        return value


def _kind_at(place: Sequence[str | int]) -> type[msgspec.Struct] | None:
    kinds: dict[tuple[str, ...], type[msgspec.Struct]] = {
        (): Policy, ("rules",): Rule, ("bands",): Bounds, ("quiet",): Quiet, ("holdout",): Holdout,
        ("total",): Limits, ("actions",): Limits, ("traffic",): Traffic, ("traffic", "bots"): BotRule,
    }  # fmt: skip
    return kinds.get(tuple(str(step) for step in place[: 2 if list(place[:1]) == ["traffic"] else 1]))
