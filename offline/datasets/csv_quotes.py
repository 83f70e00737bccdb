"""Quotes of CSV files that quote nothing, such as the inch mark in ``"24 inch screen``.

By RFC 4180, a quote at the beginning of a value opens it, and the next one that is not doubled closes it; a
separator or the end of the line must follow. An inch mark there swallows all lines up to the next quote, and makes one
row of many without a word. Here each line whose quotes are not in pairs around values is looked at before it is parsed:

- Between an opening and a closing quote, lines are rows of their own if the first, the last and at least half of all
  have a value for each column, and numbers and dates where the rows before have them. Otherwise they are one value of
  several lines, as the quotes say.
- A quote with more text behind the closing one quotes nothing, nor does one that nothing closes within a mebibyte.

Quotes that quote nothing are characters of their values. Lines are rewritten so that any parser of CSV takes them so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

_QUOTE: Final = b'"'
_LONGEST_VALUE: Final = 1 << 20
_LONGEST_LINE: Final = 32 << 20
_ENDS: Final = (b"", b"\n", b"\r")
# Numbers, dates and times, as far as a glance tells.
_FIGURES: Final = re.compile(rb"[\d.,:/ T+Z-]*\d[\d.,:/ T+Z-]*")
_ROWS_TO_LEARN: Final = 50
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+$")


@dataclass
class QuoteMender:
    """Mends the quotes of one file.

    Parameters
    ----------
    separator
        Between values, one byte.
    columns
        How many values a row has.

    Attributes
    ----------
    mended
        How many lines were rewritten.
    example
        The first of them, as it stood in the file.
    """

    separator: bytes
    columns: int
    mended: int = 0
    example: str = ""
    _kept: bytes = field(default=b"", repr=False)
    _figures: list[int] | None = field(default=None, repr=False)

    def blocks(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield blocks of whole lines, with all quotes in their places."""
        for block in blocks:
            text = self._kept + block
            # Beyond any line that can be read, nothing is kept: the parser refuses it.
            end = text.rfind(b"\n") + 1 if len(text) <= _LONGEST_LINE else len(text)
            text, self._kept = text[:end], text[end:]
            if text:
                yield self._mend(text, last=False)
        text, self._kept = self._kept, b""
        if text:
            yield self._mend(text, last=True)

    def _mend(self, text: bytes, *, last: bool) -> bytes:
        if self._figures is None:  # the first block
            self._figures = self._learn(_LINE.findall(text[:_LONGEST_VALUE])[1:])
        odd = _odd_lines(text, self.separator)
        if not len(odd):
            return text
        lines = _LINE.findall(text)
        at = 0
        for number in odd.tolist():
            if number < at:
                continue  # within a value of several lines
            behind = self._look(lines, number)
            if behind is None and not last and sum(map(len, lines[number:])) <= _LONGEST_VALUE:
                self._kept = b"".join(lines[number:]) + self._kept  # only the next block tells
                del lines[number:]
                break
            if behind is None:
                self._rewrite(lines, number)
            at = behind or number + 1
        return b"".join(lines)

    def _look(self, lines: list[bytes], first: int) -> int | None:
        """Judge the quotes of a line, and return the number of the line behind what they hold; None if none closes."""
        inside, size = False, 0
        for number in range(first, len(lines)):
            found = _scan(lines[number], self.separator, inside=inside)
            size += len(lines[number])
            if found is None or size > _LONGEST_VALUE:
                break
            inside = found
            if not inside:
                if self._are_rows(lines, first, number + 1):
                    break
                return number + 1
        else:
            return None
        self._rewrite(lines, first)
        return first + 1

    def _are_rows(self, lines: list[bytes], first: int, stop: int) -> bool:
        """Whether several lines are rows of their own."""
        if stop - first == 1:
            return False
        rows = [self._is_row(line) for line in lines[first:stop]]
        return bool(self._figures) and rows[0] and rows[-1] and 2 * sum(rows) >= len(rows)

    def _is_row(self, line: bytes) -> bool:
        values = line.rstrip(b"\r\n").split(self.separator)
        return len(values) == self.columns and all(
            not values[at] or _FIGURES.fullmatch(values[at]) for at in self._figures or ()
        )

    def _learn(self, lines: list[bytes]) -> list[int]:
        """Return the columns that hold numbers or dates in all of the first rows without quotes."""
        plain = [line.rstrip(b"\r\n").split(self.separator) for line in lines if _QUOTE not in line]
        rows = [values for values in plain if len(values) == self.columns][:_ROWS_TO_LEARN]
        return [
            at
            for at in range(self.columns if rows else 0)
            if all(not row[at] or _FIGURES.fullmatch(row[at]) for row in rows)
        ]

    def _rewrite(self, lines: list[bytes], number: int) -> None:
        """Make characters of a line's quotes."""
        line = lines[number]
        self.mended += 1
        self.example = self.example or line.decode(errors="replace").rstrip("\r\n")
        body = line.rstrip(b"\r\n")
        values = [
            b'"' + value.replace(b'"', b'""') + b'"' if _QUOTE in value else value
            for value in body.split(self.separator)
        ]
        lines[number] = self.separator.join(values) + line[len(body) :]


def _odd_lines(text: bytes, separator: bytes) -> NDArray[np.int64]:
    """Return the numbers of lines whose quotes do not come in pairs around values."""
    if _QUOTE not in text:
        return np.zeros(0, np.int64)
    chars = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(chars == ord('"'))
    line = np.searchsorted(np.flatnonzero(chars == ord("\n")), quotes)
    counts = np.bincount(line)
    within = np.arange(len(quotes)) - (np.cumsum(counts) - counts)[line]
    around = np.frombuffer(b"\n" + text + b"\n", np.uint8)
    beside = np.where(within % 2 == 0, around[quotes], around[quotes + 2])
    fits = np.isin(beside, np.frombuffer(separator + b'"\r\n', np.uint8))
    return np.unique(np.concatenate([line[~fits], np.flatnonzero(counts % 2)]))


def _scan(line: bytes, separator: bytes, *, inside: bool) -> bool | None:
    """Say whether a value goes on behind a line; None if a closing quote has text behind it."""
    at = 0
    while True:
        if inside:
            close = line.find(_QUOTE, at)
            while close >= 0 and line[close + 1 : close + 2] == _QUOTE:
                close = line.find(_QUOTE, close + 2)
            if close < 0:
                return True
            at, inside = close + 1, False
            if line[at : at + 1] != separator and line[at : at + 1] not in _ENDS:
                return None
        elif line[at : at + 1] == _QUOTE:
            at, inside = at + 1, True
            continue
        at = line.find(separator, at)
        if at < 0:
            return False
        at += 1
