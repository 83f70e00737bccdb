"""What settings may say: types that check what is written, and say in plain words what is wrong with it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, SecretStr

from features.durations import parse_duration
from features.events import COUNTED_TYPES, EVENT_TYPES, TYPE_CODES
from features.store.redis_url import parse_redis_url
from stream.addresses import check_brokers
from stream.exceptions import SettingsError
from stream.security.tokens import check_endpoint

__all__ = [
    "FORMAT_NAMES",
    "NATIVE_NAME",
    "WRAPPERS",
    "Brokers",
    "Currency",
    "Duration",
    "Endpoint",
    "FormatName",
    "ReasonBands",
    "RedisUrl",
    "Sample",
    "Stored",
    "Timezone",
    "Types",
    "check_format",
    "parse_rates",
    "split_names",
]

# Of a currency's code.
_LETTERS: Final = 3


def _checked_rates(value: object) -> str:
    try:
        parse_rates(str(value))
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return str(value)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Sample = Annotated[str, BeforeValidator(_checked_rates)]


def _foreign_types(value: object) -> str:
    own = [name for name in split_names(str(value)) if name in COUNTED_TYPES]
    if own:
        raise ValueError(f"{own[0]} is scored and cannot be passed over: leave it out")
    return str(value)


def _known_zone(value: object) -> str:
    try:
        ZoneInfo(name := str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("unknown time zone: use an IANA name, such as Europe/Berlin") from None
    return name


def _currency(value: object) -> str:
    name = str(value).strip().upper()
    if not (len(name) == _LETTERS and name.isascii() and name.isalpha()):
        raise ValueError("no currency: use the three letters of ISO 4217, such as EUR")
    return name


def _redis_url(value: object) -> SecretStr:
    secret = value if isinstance(value, SecretStr) else SecretStr(str(value))
    parse_redis_url(secret.get_secret_value())
    return secret


def _read_again(value: object) -> Path:
    """Return a path; what is there must be readable more than once, which a pipe is not."""
    path = Path(str(value))
    if not str(value).strip():
        raise ValueError("an empty path: use another one, or leave the variable out")
    try:
        refused = path.exists() and not (path.is_file() or path.is_dir())
    except OSError as error:
        raise ValueError(f"{error.strerror}: use another path") from None
    if refused:
        raise ValueError("a pipe or a device, which cannot be read twice: use a file")
    return path


Stored = Annotated[Path, BeforeValidator(_read_again)]
Types = Annotated[str, BeforeValidator(_foreign_types)]
Brokers = Annotated[str, BeforeValidator(lambda value: check_brokers(str(value)))]
RedisUrl = Annotated[SecretStr, BeforeValidator(_redis_url)]
Timezone = Annotated[str, BeforeValidator(_known_zone)]
Endpoint = Annotated[str, BeforeValidator(check_endpoint)]
Currency = Annotated[str, BeforeValidator(_currency)]

#: Which bands' scores carry reasons; each name includes the bands above it.
ReasonBands = Literal["off", "high", "medium", "all"]

#: The form of events in which this system itself writes them.
NATIVE_NAME: Final = "native"
#: Forms of events that `stream.formats` translates, and those that wrap events of another one.
FORMAT_NAMES: Final = (NATIVE_NAME, "ga4", "segment", "snowplow", "shopify", "cloudevents", "confluent")
WRAPPERS: Final = ("cloudevents", "confluent")


def check_format(value: object) -> str:
    """Return the name of a form of events, such as ``segment`` or, of wrapped events, ``confluent+segment``.

    Raises
    ------
    ValueError
        There is no such form.
    """
    *outer, last = str(value).strip().lower().split("+")
    known = last in FORMAT_NAMES and all(name in WRAPPERS for name in outer) and len(outer) <= len(WRAPPERS)
    if not known or (outer and last == NATIVE_NAME):
        raise ValueError(
            f"unknown format {str(value)!r}: use {', '.join(FORMAT_NAMES)}, or what wraps another one, as in "
            "confluent+segment"
        )
    return "+".join([*outer, last])


FormatName = Annotated[str, BeforeValidator(check_format)]


def split_names(text: str) -> list[str]:
    """Return names that are separated by commas.

    Examples
    --------
    >>> split_names("scroll, click,")
    ['scroll', 'click']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_rates(text: str) -> dict[str, float]:
    """Return the rates written as ``view_item=0.2,search=0.5``; types that are not named are kept whole.

    Raises
    ------
    SettingsError
        A type is unknown, or a rate is not a number above 0 and up to 1.

    Examples
    --------
    >>> parse_rates("view_item=0.2, search=0.5")
    {'view_item': 0.2, 'search': 0.5}
    >>> parse_rates("")
    {}
    """
    rates = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, rate = (piece.strip() for piece in part.partition("="))
        if name not in TYPE_CODES:
            raise SettingsError(f"unknown event type {name!r} in {text!r}: use {', '.join(EVENT_TYPES)}")
        try:
            rates[name] = float(rate)
        except ValueError:
            rates[name] = float("nan")
        if not 0 < rates[name] <= 1:
            raise SettingsError(
                f"invalid rate {part!r}: use an event type and a number above 0 and up to 1, as in view_item=0.2"
            )
    return rates
