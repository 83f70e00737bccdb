"""Probabilities as text: the shortest decimals that are read as the same float, as msgspec and Python write them.

This is Schubfach [Giulietti 2020, "The Schubfach way to render doubles"]. A probability asks for powers of ten from 16
to 27, and their powers of five fit in 64 bits: products are exact, where floats of any size need a table of 128 bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel

#: Bytes that a probability takes, at most.
PROBABILITY_BYTES: Final = 24

# Powers of five, each moved so far left that its first bit is the highest of 64.
_FIVES: Final = np.array([5**n << (64 - (5**n).bit_length()) for n in range(28)], np.uint64)

# The digits of 00 to 99.
_PAIRS: Final = np.frombuffer(b"".join(b"%02d" % pair for pair in range(100)), np.uint8)

_U: Final = np.uint64
_FRACTION: Final = _U(52)  # bits of a float that are its fraction
_HIDDEN: Final = _U(1 << 52)
_LOW: Final = _U(0xFFFFFFFF)
_HALF: Final = _U(32)
_ZERO: Final = _U(0)
_UNIT: Final = _U(1)
_ONE: Final = _U(np.float64(1.0).view(np.uint64))
_LEAST: Final = _U(np.float64(2.0**-36).view(np.uint64))  # smaller ones would need a further power of five
_EXPONENT_OF_INTEGERS: Final = 1075  # as floats keep it: from here on their last bit counts whole numbers

# From so many zeros after the point on, a number is written with an exponent.
_MOST_ZEROS: Final = 4


@kernel
def write_probability(bits: np.uint64, out: NDArray[np.uint8], at: int) -> int:  # pragma: no cover
    """Write a float from 0 to 1, given as its bits; return where it ends, -1 if it is too small, or none of these."""
    if bits in (_ZERO, _ONE):
        out[at] = 48 + (bits == _ONE)
        out[at + 1] = 46  # .
        out[at + 2] = 48
        return at + 3
    if bits < _LEAST or bits > _ONE:  # with a sign they are larger than all others
        return -1
    digits, exponent = _shortest(bits)
    while digits % _U(10) == _ZERO:
        digits //= _U(10)
        exponent += 1
    count = _count(digits)
    zeros = int(-count - exponent)
    if zeros <= _MOST_ZEROS:
        out[at] = 48
        out[at + 1] = 46
        for i in range(zeros):
            out[at + 2 + i] = 48
        return _write_digits(digits, count, out, at + 2 + zeros)
    return _write_with_exponent(digits, count, zeros + 1, out, at)


@kernel
def write_integer(number: int, out: NDArray[np.uint8], at: int) -> int:  # pragma: no cover
    """Write an integer that is not negative; return where it ends."""
    digits = _U(number)
    return _write_digits(digits, _count(digits), out, at)


@kernel
def _write_with_exponent(
    digits: np.uint64, count: int, exponent: int, out: NDArray[np.uint8], at: int
) -> int:  # pragma: no cover
    """Write what is so small that it has an exponent: one digit, the others after a point, and the exponent."""
    _write_digits(digits, count, out, at + 1)
    out[at] = out[at + 1]
    out[at + 1] = 46
    at += 1 if count == 1 else count + 1
    out[at] = 101  # e
    out[at + 1] = 45  # -
    return write_integer(exponent, out, at + 2)


@kernel
def _count(digits: np.uint64) -> int:  # pragma: no cover
    count = 1
    while digits >= _U(10_000):
        digits //= _U(10_000)
        count += 4
    for power in (10, 100, 1000):
        if digits >= _U(power):
            count += 1
    return count


@kernel
def _write_digits(digits: np.uint64, count: int, out: NDArray[np.uint8], at: int) -> int:  # pragma: no cover
    """Write digits from the last to the first, two at a time: each division waits for the one before."""
    place = _U(at + count)
    while digits >= _U(100):
        rest = digits // _U(100)
        pair = (digits - rest * _U(100)) << _UNIT
        place -= _U(2)
        out[place] = _PAIRS[pair]
        out[place + _UNIT] = _PAIRS[pair + _UNIT]
        digits = rest
    if digits >= _U(10):
        out[place - _U(2)] = _PAIRS[digits << _UNIT]
        out[place - _UNIT] = _PAIRS[(digits << _UNIT) + _UNIT]
    else:
        out[place - _UNIT] = _U(48) + digits
    return at + count


@kernel
def _shortest(bits: np.uint64) -> tuple[np.uint64, np.int64]:  # pragma: no cover
    """Return digits and a power of ten: of the shortest decimals between a float's neighbours the nearest to it.

    Names and steps are those of the paper: all of it is in units of a quarter of the last digit.
    """
    significand = (bits & (_HIDDEN - _UNIT)) | _HIDDEN
    q = np.int64(bits >> _FRACTION) - _EXPONENT_OF_INTEGERS
    closer = significand == _HIDDEN  # the neighbour below is half as far
    k = (q * 1262611 - (524031 if closer else 0)) >> 22
    h = _U(q + ((-k * 1741647) >> 19) + 1)
    five, centre = _FIVES[-k], significand << _U(2)
    odd = significand & _UNIT
    lower = _product(five, (centre - _U(2) + _U(closer)) << h) + odd
    value = _product(five, centre << h)
    upper = _product(five, (centre + _U(2)) << h) - odd
    tens = value // _U(40)
    below, above = lower <= _U(40) * tens, _U(40) * tens + _U(40) <= upper
    if below != above:
        return tens + _U(above), k + 1
    ones = value >> _U(2)
    below, above = lower <= _U(4) * ones, _U(4) * ones + _U(4) <= upper
    if below != above:
        return ones + _U(above), k
    middle = _U(4) * ones + _U(2)
    return ones + _U(value > middle or (value == middle and ones & _UNIT == _UNIT)), k


@kernel
def _product(a: np.uint64, b: np.uint64) -> np.uint64:  # pragma: no cover
    """Return the upper half of a product of 128 bits, its last bit set where the lower half is not zero."""
    low = (a & _LOW) * (b & _LOW)
    first = (a >> _HALF) * (b & _LOW) + (low >> _HALF)
    second = (a & _LOW) * (b >> _HALF) + (first & _LOW)
    high = (a >> _HALF) * (b >> _HALF) + (first >> _HALF) + (second >> _HALF)
    return high | _U((second & _LOW) != _ZERO or (low & _LOW) != _ZERO)
