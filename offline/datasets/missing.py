r"""Words that stand for a missing value in a CSV file, the same for logs (`intent convert`) and for tables.

A word is compared without its case and without spaces around it.

============================  ===============================================================
word                          written by
============================  ===============================================================
(nothing)                     every program
``NA``, ``<NA>``              R, pandas
``#N/A``, ``N/A``             spreadsheets
``NaN``                       pandas, NumPy
``NULL``                      databases
``None``                      Python
``\N``                         MySQL, PostgreSQL, Hive
``-``, ``?``                  people, data sets of the UCI repository
============================  ===============================================================

Two columns keep such a word as a value: ``NA`` is Namibia in a column of two-letter country codes, and a name
in the column of types that ``--types`` maps is the name of a type. Values of a Parquet file are taken as they are:
the file itself says which are missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

#: In lower case.
MISSING_WORDS: Final = frozenset({"", "na", "<na>", "#n/a", "n/a", "nan", "null", "none", "\\n", "-", "?"})
#: Namibia, where the column holds country codes.
NAMIBIA: Final = "NA"
#: Names of columns of a table that hold countries.
COUNTRY_NAME: Final = re.compile(r"countr|^land$|^pays$", re.IGNORECASE)

_COUNTRY_CODE: Final = r"^[A-Z]{2}$"
# One "Unknown" among the codes does not make a missing value of Namibia.
_MOST: Final = 0.5
_WORDS: Final = pa.array(sorted(MISSING_WORDS), pa.string())
# Longer texts cannot be one of the words, and most texts are longer.
_LONGEST: Final = max(map(len, MISSING_WORDS))


def without_missing(text: pa.Array, kept: Collection[str] = ()) -> pa.Array:
    """Return texts with null in place of the words for a missing value; other texts stay as they are.

    Parameters
    ----------
    text
        Texts as they stand in the file.
    kept
        Words that are values in this column.

    Examples
    --------
    >>> without_missing(pa.array(["NA", " null ", "0", "-"])).to_pylist()
    [None, None, '0', None]
    >>> without_missing(pa.array(["NA", "DE", "-"]), kept=["NA"]).to_pylist()
    ['NA', 'DE', None]
    """
    trimmed = pc.utf8_trim_whitespace(text)
    short = pc.less_equal(pc.binary_length(trimmed), _LONGEST)
    if not pc.any(short).as_py():
        return text
    words = pc.utf8_lower(pc.if_else(short, trimmed, pa.scalar("value", text.type)))
    missing = pc.is_in(words, value_set=_WORDS.cast(text.type))
    if kept:
        missing = pc.and_not(missing, pc.is_in(trimmed, value_set=pa.array(list(kept), text.type)))
    return pc.if_else(missing, pa.scalar(None, text.type), text)


def are_country_codes(text: pa.Array) -> bool:
    """Say whether texts, words for a missing value aside, are country codes of two letters, most of them.

    Examples
    --------
    >>> are_country_codes(pa.array(["DE", "NA", ""])), are_country_codes(pa.array(["Germany", "NA"]))
    (True, False)
    """
    known = pc.drop_null(pc.utf8_trim_whitespace(without_missing(pc.unique(text))))
    if not len(known):
        return False
    return float(pc.mean(pc.match_substring_regex(known, _COUNTRY_CODE).cast(pa.int8())).as_py()) >= _MOST
