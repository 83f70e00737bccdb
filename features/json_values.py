"""Plain values of JSON in a buffer of bytes: kernels that find where each of them ends.

Plain are texts without escapes, and numbers of at most 15 digits without a sign and an exponent (RFC 8259). A kernel
gives back where it has stopped reading, or `END` where something else stands: a tuple of a result and a place costs
three times as much.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import inlined, kernel
from features.hashes import same_bytes

# An integer of so many digits is exact as a float, and so is a power of ten: their quotient is rounded once.
_DIGITS: Final = 15
_TENS: Final = np.array([10.0**power for power in range(_DIGITS + 1)])

_QUOTE, _BACKSLASH, COLON, COMMA, _DOT, _ZERO, _NINE = (ord(one) for one in '"\\:,.09')
OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = (ord(one) for one in "{}[]")
_SPACE, _DELETE = 0x20, 0x7F
_PLAIN: Final = np.array(
    [_SPACE <= byte < _DELETE and byte not in (_QUOTE, _BACKSLASH) for byte in range(256)]
)
TRUE, FALSE, NULL = (np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))
#: There is no such value.
END: Final = -1
_NEXT: Final = np.uint64(1)  # numba counts places that may be negative from the end; unsigned ones cost less


@inlined
def gap(data: NDArray[np.uint8], at: int, stop: int) -> int:  # pragma: no cover
    """Return where the next thing stands that is no white space."""
    while 0 <= at < stop and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):  # noqa: PLR1714, PLR2004, SIM109
        at += 1
    return at


@inlined
def after(data: NDArray[np.uint8], at: int, stop: int, sign: int) -> int:  # pragma: no cover
    """Return where something stands after a sign that has to be there."""
    at = gap(data, at, stop)
    if not 0 <= at < stop or data[at] != sign:
        return END
    at = gap(data, at + 1, stop)
    return at if at < stop else END


@inlined
def string(data: NDArray[np.uint8], at: int, stop: int) -> int:  # pragma: no cover
    """Read a text of printable ASCII characters without escapes."""
    if data[at] != _QUOTE:
        return END
    place, end = np.uint64(at + 1), np.uint64(stop)
    while place < end and _PLAIN[data[place]]:
        place += _NEXT
    return np.int64(place) + 1 if place < end and data[place] == _QUOTE else END  # type: ignore[return-value]


@kernel
def text(data: NDArray[np.uint8], at: int, stop: int, most: int) -> int:  # pragma: no cover
    """Read a text of at most so many characters, in UTF-8 and without escapes."""
    if data[at] != _QUOTE:
        return END
    at += 1
    while at < stop and data[at] != _QUOTE and most > 0:
        if data[at] < _SPACE or data[at] == _BACKSLASH:
            return END
        width = 1 if data[at] <= _DELETE else _width(data, at, stop)
        if width == 0:
            return END
        at, most = at + width, most - 1
    return at + 1 if at < stop and data[at] == _QUOTE else END


@kernel
def _width(data: NDArray[np.uint8], at: int, stop: int) -> int:  # pragma: no cover
    """Return how many bytes a character beyond ASCII has in UTF-8 (RFC 3629), 0 if that is none."""
    lead = data[at]
    lowest, highest = 0x80, 0xBF
    if 0xC2 <= lead <= 0xDF:  # noqa: PLR2004
        width = 2
    elif 0xE0 <= lead <= 0xEF:  # noqa: PLR2004
        width = 3
        lowest = 0xA0 if lead == 0xE0 else 0x80  # noqa: PLR2004
        highest = 0x9F if lead == 0xED else 0xBF  # noqa: PLR2004
    elif 0xF0 <= lead <= 0xF4:  # noqa: PLR2004
        width = 4
        lowest = 0x90 if lead == 0xF0 else 0x80  # noqa: PLR2004
        highest = 0x8F if lead == 0xF4 else 0xBF  # noqa: PLR2004
    else:
        return 0
    if width > stop - at or not lowest <= data[at + 1] <= highest:
        return 0
    for k in range(2, width):
        if not 0x80 <= data[at + k] <= 0xBF:  # noqa: PLR2004
            return 0
    return width


@inlined
def integer(data: NDArray[np.uint8], at: int, stop: int) -> int:  # pragma: no cover
    """Read an integer without a sign, of no more digits than are exact; a fraction or an exponent is none."""
    end = number(data, at, stop)
    for k in range(at, end):
        if data[k] == _DOT:
            return END
    return end


@inlined
def number(data: NDArray[np.uint8], at: int, stop: int) -> int:  # pragma: no cover
    """Read a number without a sign and an exponent, of no more digits than are exact."""
    start, dot = at, END
    while at < stop and (_ZERO <= data[at] <= _NINE or (data[at] == _DOT and dot < 0)):
        if data[at] == _DOT:
            dot = at
        at += 1
    whole = at - start if dot < 0 else dot - start
    count = at - start if dot < 0 else at - start - 1
    bad = whole == 0 or count > _DIGITS or dot == at - 1 or (whole > 1 and data[start] == _ZERO)
    if bad or (at < stop and (data[at] == ord("e") or data[at] == ord("E"))):  # noqa: PLR1714
        return END
    return at


@inlined
def digits(data: NDArray[np.uint8], at: int, end: int) -> int:  # pragma: no cover
    """Return the number of the digits among these bytes, -1 where it has not been read."""
    found = 0 if at < end else -1
    for k in range(at, end):
        if data[k] != _DOT:
            found = 10 * found + data[k] - _ZERO
    return found


@inlined
def parsed(data: NDArray[np.uint8], at: int, end: int) -> float:  # pragma: no cover
    """Return the number that was read there, rounded once."""
    decimals = 0
    for k in range(at, end):
        if data[k] == _DOT:
            decimals = end - 1 - k
    return float(digits(data, at, end) / _TENS[decimals])


@inlined
def null(data: NDArray[np.uint8], at: int, stop: int) -> int:  # pragma: no cover
    """Read a null."""
    return word(data, at, stop, NULL)


@inlined
def word(data: NDArray[np.uint8], at: int, stop: int, word: NDArray[np.uint8]) -> int:  # pragma: no cover
    """Read a word that has to stand there."""
    length = len(word)
    return at + length if length <= stop - at and same_bytes(data, at, length, word, 0) else END


@kernel
def anything(data: NDArray[np.uint8], at: int, stop: int) -> int:  # pragma: no cover
    """Read a value that means nothing here, and is neither a list nor an object."""
    first = data[at]
    if first == _QUOTE:
        return text(data, at, stop, stop - at)
    if first == NULL[0]:
        return null(data, at, stop)
    if first == TRUE[0]:
        return word(data, at, stop, TRUE)
    if first == FALSE[0]:
        return word(data, at, stop, FALSE)
    return number(data, at, stop)
