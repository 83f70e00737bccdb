"""Texts as numbers: decimal points and commas, separators of thousands, units; one reading for a whole column.

=======================  ==================  ==================
text                     decimal point       decimal comma
=======================  ==================  ==================
``1.5``                  1.5                 not a number
``1,5``                  not a number        1.5
``1,234.50``             1234.5              not a number
``1.234,50``             not a number        1234.5
``1.234``                1.234               1234
``1,234``                1234                1.234
``1 234`` or ``1'234``   1234                1234
``19,90 €``                                  19.9
``$19.90``               19.9
``(12.30)``, ``12.30-``  -12.3
=======================  ==================  ==================

A column has a decimal comma if more of its values can only be read with a comma (``1,5``, ``1.234,50``) than only
with a point (``1.5``, ``1,234.5``); otherwise it has a decimal point. Where no value tells, as in ``1,234`` and
``2,500``, the comma stands between thousands, but in a file whose columns are separated by semicolons it is a decimal
comma: that is why they are. Either is said with an example. A unit is read if all units in the column are the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from offline.datasets.values import Bools, as_text, mask

Floats = NDArray[np.float64]

_UNITS: Final = r"€|\$|£|¥|%|EUR|USD|GBP|CHF"
_WITH_UNIT: Final = (
    rf"^(?P<sign>-)?(?P<before>{_UNITS})?\s*(?P<number>[+-]?[\d.,' ]*\d)\s*(?P<after>{_UNITS})?$"
)
# Accountants write (12.30) for what is owed, SAP writes 12.30-, typographers a minus of their own.
_OWED: Final = rf"^\(\s*((?:{_UNITS})?\s*\d[\d.,' ]*\s*(?:{_UNITS})?)\s*\)$"
_MINUS_BEHIND: Final = r"^(\d[\d.,' ]*)-$"
_ODD_SIGN: Final = "^\\(|-$|^\u2212"
_LONG_MINUS: Final = "^\u2212"
_SPACES: Final = "[\u00a0\u202f]"
_PLAIN: Final = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
# With commas: 1.234,56 or 0,5 or 1.234 (which then are thousands); with points: 1,234.56 and 1 234.56.
_COMMA_NUMBER: Final = r"^[+-]?(?:\d+|\d{1,3}(?:[. ']\d{3})+)(?:,\d+)?$"
_POINT_NUMBER: Final = r"^[+-]?(?:\d{1,3}(?:[, ']\d{3})+)(?:\.\d+)?$"
# 0,5, 12,50 and 1.234.567 speak for the comma; 1.5, 1,234.5 and 1,234,567 for the point; 1,234 could be either.
_SURE_COMMA: Final = (
    r"^[+-]?(?:\d{1,3}(?:[. ']\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}|\d+,(?:\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+)$"
)
_SURE_POINT: Final = (
    r"^[+-]?(?:\d{1,3}(?:[, ']\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,}|\d+\.(?:\d{1,2}|\d{4,})|0\.\d+|\d{4,}\.\d+)$"
)
_EITHER: Final = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"
_EITHER_COMMA: Final = r"^[+-]?[1-9]\d{0,2},\d{3}$"


@dataclass(frozen=True, slots=True)
class NumberForm:
    """How the numbers of a column are written.

    Attributes
    ----------
    comma
        Whether the decimal sign is a comma.
    grouped
        Whether commas stand between thousands.
    unit
        What stands before or after the numbers, e.g. a currency sign; empty if nothing does.
    sure
        False if the point, or the comma, stands before three digits in every value that has one, so that it could
        be a decimal sign or stand between thousands (``1.500``, ``1,500``).
    """

    comma: bool = False
    grouped: bool = False
    unit: str = ""
    sure: bool = True

    def __str__(self) -> str:
        if self.comma:
            how = "numbers with a decimal comma"
        else:
            how = "numbers, commas between thousands" if self.grouped else "numbers"
        if not self.sure:
            example = (
                "1,500 as 1500" if self.grouped else f"{'1,500' if self.comma else '1.500'} as one and a half"
            )
            how = f"{how}, {example} (no value tells which)"
        return f"{how}, in {self.unit}" if self.unit else how


PLAIN_NUMBERS: Final = NumberForm()


@dataclass(frozen=True, slots=True)
class NumberSigns:
    """What the values of a column tell of their form; those of several blocks are added.

    Attributes
    ----------
    by_unit
        For each unit (empty: none): how many values can only have a decimal comma, how many only a decimal point,
        how many have commas between thousands, in how many a point may be either, and in how many a comma.
    texts
        How many values that are not plain numbers there are for each unit.
    values
        How many values there are.
    example
        The first of the values that are not plain numbers.
    point
        The first of the values without a unit in which a point may be either.
    """

    by_unit: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    texts: int = 0
    values: int = 0
    example: str | None = None
    point: str | None = None

    def __add__(self, other: NumberSigns) -> NumberSigns:
        both = dict(self.by_unit)
        for unit, counts in other.by_unit.items():
            both[unit] = both[unit] + counts if unit in both else counts
        example = other.example if self.example is None else self.example
        point = other.point if self.point is None else self.point
        return NumberSigns(both, self.texts + other.texts, self.values + other.values, example, point)

    @property
    def points(self) -> int:
        """In how many values without a unit a point may be either."""
        return int(self.by_unit[""][3]) if "" in self.by_unit else 0

    def form(self, *, semicolons: bool = False) -> NumberForm:
        """Return the form of the column; whether ``semicolons`` separate columns counts where no value tells."""
        units = [unit for unit in self.by_unit if unit]
        unit = units[0] if len(units) == 1 and " " not in units[0] else ""
        comma, point, grouped, point_either, comma_either = sum(
            (self.by_unit[name] for name in {"", unit} if name in self.by_unit), np.zeros(5, np.int64)
        )
        if comma_either and not comma and not point and not point_either:
            return NumberForm(semicolons, not semicolons, unit, sure=False)
        by_comma = bool(comma > point)
        sure = by_comma or bool(point) or bool(grouped) or not point_either
        return NumberForm(by_comma, bool(grouped) and not by_comma, unit, sure)


def number_signs(values: pa.Array) -> NumberSigns:
    """Collect what a column, or a block of it, tells of the form of its numbers.

    Examples
    --------
    >>> str(number_signs(pa.array(["1.234,50 €", "7,25 €", "1.000 €"])).form())
    'numbers with a decimal comma, in €'
    >>> str(number_signs(pa.array(["1,234,567", "5"])).form())
    'numbers, commas between thousands'
    >>> str(number_signs(pa.array(["1,234", "5"])).form())
    'numbers, commas between thousands, 1,500 as 1500 (no value tells which)'
    >>> number_signs(pa.array(["1,234", "5"])).form(semicolons=True).comma
    True
    """
    if not is_text(values):
        return NumberSigns()
    counted = pc.value_counts(pc.drop_null(_cleaned(values)))
    texts, weights = counted.field(0), counted.field(1).to_numpy()
    plain = mask(pc.match_substring_regex(texts, _PLAIN))
    found = _signs(texts.filter(pa.array(plain)), weights[plain])
    either = pc.index(pc.match_substring_regex(texts, _EITHER), True).as_py()
    point = None if either < 0 else texts[either].as_py()
    signs = NumberSigns({"": found}, 0, int(weights.sum()), None, point)
    if plain.all():
        return signs
    texts, weights = texts.filter(pa.array(~plain)), weights[~plain]
    signs += NumberSigns(example=texts[0].as_py())
    numbers, units = _split(texts)
    for unit in np.unique(units):
        here = units == unit
        found = _signs(numbers.filter(pa.array(here)), weights[here])
        signs += NumberSigns({str(unit): found}, int(weights[here].sum()))
    return signs


def as_numbers(values: pa.Array, form: NumberForm = PLAIN_NUMBERS) -> tuple[Floats, Bools]:
    """Return a column as floats (null: NaN), and a mark for every value that is not a finite number.

    Parameters
    ----------
    values
        Numbers, or texts.
    form
        How the numbers are written, if the values are texts.

    Examples
    --------
    >>> as_numbers(pa.array(["1.5", None, "free"]))
    (array([1.5, nan, nan]), array([False, False,  True]))
    >>> as_numbers(pa.array(["1.234,50 €", "1,5"]), NumberForm(comma=True, unit="€"))[0].tolist()
    [1234.5, 1.5]
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    there = ~mask(pc.is_null(values, nan_is_null=True))
    if is_text(values):
        numbers = _read(_cleaned(values), form)
    else:
        try:
            numbers = np.asarray(
                values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64
            )
        except pa.ArrowException:  # dates, lists and the like
            numbers = np.full(len(values), np.nan)
    bad = there & ~np.isfinite(numbers)
    return np.where(np.isfinite(numbers), numbers, np.nan), bad


def is_text(values: pa.Array) -> bool:
    """Say whether a column holds texts."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _cleaned(values: pa.Array) -> pa.Array:
    texts = pc.utf8_trim_whitespace(pc.replace_substring_regex(as_text(values), _SPACES, " "))
    if not pc.any(pc.match_substring_regex(texts, _ODD_SIGN)).as_py():
        return texts
    for pattern in (_OWED, _MINUS_BEHIND):
        texts = pc.replace_substring_regex(texts, pattern, r"-\1")
    return pc.replace_substring_regex(texts, _LONG_MINUS, "-")


def _signs(texts: pa.Array, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    grouped = mask(pc.match_substring_regex(texts, _POINT_NUMBER)) & mask(pc.match_substring(texts, ","))
    marks = (
        mask(pc.match_substring_regex(texts, _SURE_COMMA)),
        mask(pc.match_substring_regex(texts, _SURE_POINT)),
        grouped,
        mask(pc.match_substring_regex(texts, _EITHER)),
        mask(pc.match_substring_regex(texts, _EITHER_COMMA)),
    )
    return np.array([int(weights[mark].sum()) for mark in marks], dtype=np.int64)


def _split(texts: pa.Array) -> tuple[pa.Array, NDArray[np.object_]]:
    """Return texts without their unit, and the unit of each; a text with two units has both, with a space between."""
    parts = pc.extract_regex(texts, _WITH_UNIT)
    sign, before, number, after = (pc.fill_null(pc.struct_field(parts, at), "") for at in range(4))
    number = pc.binary_join_element_wise(sign, number, pa.scalar("", number.type))
    units = pc.utf8_trim_whitespace(pc.binary_join_element_wise(before, after, pa.scalar(" ", before.type)))
    bare = pc.or_(pc.equal(units, ""), pc.match_substring(units, " "))
    return pc.if_else(bare, texts, number), np.asarray(units.to_numpy(zero_copy_only=False), dtype=object)


def _read(texts: pa.Array, form: NumberForm) -> Floats:
    if form == PLAIN_NUMBERS:
        try:
            return np.asarray(texts.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        except pa.ArrowException:
            pass  # some are not plain: value by value
    if form.unit:
        numbers, units = _split(texts)
        texts = pc.if_else(pa.array(units == form.unit), numbers, texts)
    if form.comma:
        fits = pc.match_substring_regex(texts, _COMMA_NUMBER)
        cleaned = pc.replace_substring(pc.replace_substring_regex(texts, "[. ']", ""), ",", ".")
        texts = pc.if_else(fits, cleaned, pa.scalar(None, texts.type))
    else:
        grouped = pc.match_substring_regex(texts, _POINT_NUMBER)
        texts = pc.if_else(grouped, pc.replace_substring_regex(texts, "[, ']", ""), texts)
    plain = pc.match_substring_regex(texts, _PLAIN)
    texts = pc.if_else(plain, texts, pa.scalar(None, texts.type))
    return np.asarray(texts.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
