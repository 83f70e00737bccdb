"""Bytes that were good once: changed at random, fast."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

# What decides often: ends of ranges, signs of text, and of lengths.
_ODD: Final = (
    b"", b"\x00", b"\xff", b"\x7f", b"\x80", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"null", b"true",
    b"1e999", b"-0", b"NaN", b"\\u0000", b"\\ud800", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xe2\x80\xae", b"0" * 40,
    b"9223372036854775808", b"\xff" * 8, b"\x00" * 8, b"1970-01-01T00:00:00Z", b"\r\n", b"A" * 300,
)  # fmt: skip


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of the seeds with one to eight changes, or, one time in fifty, any bytes at all."""
    if chance.random() < 0.02:  # noqa: PLR2004
        return chance.randbytes(int(chance.expovariate(0.02)))
    raw = bytearray(chance.choice(seeds))
    for _ in range(int(chance.expovariate(0.7)) % 8 + 1):
        size = len(raw)
        at = int(chance.random() * size)
        if chance.random() < 0.3:  # noqa: PLR2004 (most of what decides lies in front)
            at = min(at, int(chance.random() * 80))
        match int(chance.random() * 8):
            case 0 if size:
                raw[at] ^= 1 << int(chance.random() * 8)
            case 1 if size:
                raw[at] = int(chance.random() * 256)
            case 2 if size:
                raw[at] = (raw[at] + chance.choice((-1, 1))) & 0xFF
            case 3:
                raw[at:at] = chance.choice(_ODD)
            case 4:
                odd = chance.choice(_ODD)
                raw[at : at + len(odd)] = odd
            case 5:
                del raw[at : at + 1 + int(chance.expovariate(0.1))]
            case 6:
                other = chance.choice(seeds)
                start = int(chance.random() * len(other))
                raw[at:at] = other[start : start + 1 + int(chance.expovariate(0.05))]
            case _:
                raw[at:at] = raw[at : at + 1 + int(chance.expovariate(0.1))]
    return bytes(raw)
