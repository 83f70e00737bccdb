"""One way to take apart bytes that come from outside: a topic, Redis, a file.

Decoders raise whatever suits them: msgspec its own errors, a `UnicodeDecodeError` for a text that is not UTF-8, a
`RecursionError` for what is nested too deeply; numpy and struct a `ValueError` or their own. Whoever reads from outside
catches `Undecodable` alone, and says in one sentence of its own what was read and what to do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

import msgspec

_Raw = TypeVar("_Raw")
_Value = TypeVar("_Value")


class Undecodable(ValueError):
    """Bytes are not what they should be; the message says why."""


def decoded(decode: Callable[[_Raw], _Value], raw: _Raw) -> _Value:
    """Return what ``decode`` makes of ``raw``.

    Raises
    ------
    Undecodable
        It cannot be decoded, for whatever reason.

    Examples
    --------
    >>> decoded(bytes.decode, b"ab")
    'ab'
    >>> decoded(bytes.decode, b"ab" + bytes([255]))
    Traceback (most recent call last):
    features.decoding.Undecodable: byte 2 is not UTF-8
    """
    try:
        return decode(raw)
    except RecursionError:
        raise Undecodable("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise Undecodable(f"byte {error.start} is not UTF-8") from None
    except (msgspec.MsgspecError, struct.error, ValueError, OverflowError) as error:
        raise Undecodable(str(error)) from None
