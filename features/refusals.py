"""Why a value is no event: reasons for programs, and sentences for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec


class Reason(StrEnum):
    """Why a record became a dead letter."""

    NOT_JSON = "not_json"
    MISSING_FIELD = "missing_field"
    UNKNOWN_TYPE = "unknown_type"
    NEGATIVE = "negative"
    INVALID_FIELD = "invalid_field"
    TOO_LARGE = "too_large"
    MISSING_KEY = "missing_key"
    KEY_MISMATCH = "key_mismatch"
    WRONG_PARTITION = "wrong_partition"
    FUTURE = "future"
    LATE = "late"
    BAD_HEADERS = "bad_headers"
    SEVERAL_EVENTS = "several_events"
    UNREADABLE = "unreadable"
    BAD_SIGNATURE = "bad_signature"
    # Not of events, but of the topics between worker and learner:
    BAD_EXAMPLE = "bad_example"
    BAD_OUTCOME = "bad_outcome"
    # Of no value: the scorer raises on it.
    POISON = "poison"


#: Reasons of letters that are no events: they can be looked at, not sent again.
NO_EVENTS: Final = frozenset({Reason.BAD_EXAMPLE, Reason.BAD_OUTCOME})


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be folded: its position in the batch, why, and a sentence for people."""

    index: int
    reason: Reason
    detail: str


class RejectedEvent(ValueError):
    """A value that breaks the event schema."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def not_json(error: Exception) -> RejectedEvent:
    """Return why a text is no JSON."""
    if isinstance(error, RecursionError):
        why = "it is nested too deeply"
    elif isinstance(error, UnicodeDecodeError):
        why = f"byte {error.start} of a text is not UTF-8"
    else:
        why = (
            str(error)
            .removeprefix("JSON is malformed: ")
            .replace("Input data was truncated", "it ends too early")
        )
    return RejectedEvent(Reason.NOT_JSON, f"the value is not JSON: {why}")


_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MESSAGE: Final = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$", re.DOTALL)


def refusal(value: bytes, message: str, types: Iterable[str]) -> RejectedEvent:
    """Return what msgspec says of a value as a reason and a sentence; ``types`` are the known ones."""
    parts = _MESSAGE.match(message)
    what, where = (parts["what"], parts["where"] or "") if parts else (message, "")
    if missing := re.match("Object missing required field `(.*)`", what):
        whose = f"{where} has" if where else "the event has"
        return RejectedEvent(Reason.MISSING_FIELD, f"{whose} no {missing[1]}")
    shown = _shown(value, where)
    if where == "type" and what.startswith("Invalid enum value"):
        return RejectedEvent(Reason.UNKNOWN_TYPE, f"the type {shown} is unknown: use {', '.join(types)}")
    if not where:
        return RejectedEvent(Reason.INVALID_FIELD, f"the value is no JSON object: {_spoken(what)}")
    if where == "event_time" and (unit := _unit(shown)):
        return RejectedEvent(
            Reason.INVALID_FIELD,
            f"event_time {shown} looks like {unit} since 1970: milliseconds are wanted, such as 1760000000000",
        )
    if ">= 0" in what:
        return RejectedEvent(Reason.NEGATIVE, f"{where} is {shown}: it must not be negative")
    return RejectedEvent(Reason.INVALID_FIELD, f"{where} is {shown}: {_spoken(what)}")


# Numbers of digits of the epoch of a time since September 2001.
_UNITS: Final = {10: "seconds", 16: "microseconds", 19: "nanoseconds"}


def _unit(number: str) -> str:
    return _UNITS.get(len(number.partition(".")[0]), "") if re.fullmatch(r"\d+(\.\d+)?", number) else ""


def _shown(value: bytes, where: str) -> str:
    """Return the JSON text of the field at ``where``, shortened; the whole field where it lies deeper."""
    try:
        raw = bytes(_fields.decode(value)[re.split(r"[.\[]", where)[0]])
    except (msgspec.DecodeError, ValueError, RecursionError, KeyError):
        return "bad"
    text = raw.decode(errors="replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


# A refusal repeats this many characters of a value.
_SHOWN: Final = 60


def _spoken(what: str) -> str:
    """Return msgspec's message as a part of a sentence."""
    return what[:1].lower() + what[1:].replace("`", "")
