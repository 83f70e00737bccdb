"""Probabilities as text: as msgspec writes them, to the last digit."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.compiled import njit
from stream.scoring.decimals import PROBABILITY_BYTES, write_integer, write_probability


@njit(cache=True)
def write_all(bits: np.ndarray, out: np.ndarray, ends: np.ndarray) -> None:  # pragma: no cover
    for row in range(len(bits)):
        ends[row] = write_probability(bits[row], out[row], 0)


def written(numbers: np.ndarray) -> list[bytes | None]:
    """Return the texts of numbers, None where they are refused."""
    out, ends = np.zeros((len(numbers), PROBABILITY_BYTES), np.uint8), np.empty(len(numbers), np.int64)
    write_all(numbers.view(np.uint64), out, ends)
    return [None if end < 0 else row[:end].tobytes() for row, end in zip(out, ends.tolist(), strict=True)]


def random_numbers(rng: np.random.Generator) -> np.ndarray:
    """Return numbers of all sizes that are written: of all digits, of few, and beside powers of two."""
    powers = 2.0 ** -np.arange(1, 37)
    return np.concatenate(
        [
            rng.random(20_000),
            np.exp(rng.uniform(-24.9, 0, 20_000)),
            np.exp(rng.uniform(-24.9, 0, 5_000)).round(7) + 1e-7,
            rng.integers(1, 10**6, 5_000) / 10**6,
            1 / (1 + np.exp(-rng.normal(-3, 2, 20_000))),
            powers, np.nextafter(powers, 1), np.nextafter(powers[:-1], 0), [np.nextafter(1, 0)],
        ]
    )  # fmt: skip


def test_numbers_of_every_size_are_written_as_msgspec_writes_them(seed: int) -> None:
    numbers = random_numbers(np.random.default_rng(seed))
    numbers = numbers[numbers <= 1]
    assert written(numbers) == [msgspec.json.encode(number) for number in numbers.tolist()]


@settings(max_examples=1000, deadline=None)
@given(number=st.floats())
@example(number=math.nan)
@example(number=-0.0)
@example(number=math.nextafter(2.0**-36, 0))
def test_any_number_is_written_exactly_or_refused(number: float) -> None:
    [text] = written(np.array([number]))
    assert text is None or text == msgspec.json.encode(number)
    assert (text is None) == (not (2.0**-36 <= number <= 1 or (number == 0 and math.copysign(1, number) > 0)))


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, b"0.0"), (1, b"1.0"), (0.1, b"0.1"), (1e-5, b"0.00001"), (1e-6, b"1e-6"), (1.25e-10, b"1.25e-10"),
     (1 / 3, b"0.3333333333333333"), (0.1 + 0.2, b"0.30000000000000004")],
)  # fmt: skip
def test_numbers_read_as_people_expect(number: float, text: bytes) -> None:
    assert written(np.array([number], np.float64)) == [text]


@given(number=st.integers(0, 2**63 - 1))
@example(number=0)
@example(number=9)
@example(number=10)
@example(number=10**18)
def test_integers_are_written_digit_by_digit(number: int) -> None:
    out = np.zeros(19, np.uint8)
    assert out[: write_integer(number, out, 0)].tobytes() == b"%d" % number
