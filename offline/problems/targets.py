"""Which column is to be predicted, and which of its values is the positive one."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline.datasets.yes_no import NO, YES
from offline.problems.errors import TableError

_NAMES: Final = re.compile(
    r"^(target|label|class|outcome|response|y|revenue|conver(t|ted|sion)|purchased?|bought|buy|ordered|subscribed"
    r"|churn(ed)?|has_purchased|is_(buyer|customer|converted|churned)|gekauft|kauf|bestellt|ziel)$",
    re.IGNORECASE,
)
_CLASSES: Final = 2
# A column with the name of a target and few values is meant, whatever is wrong with it; with more it is an amount.
_CLASSES_AT_MOST: Final = 20


class Target(NamedTuple):
    """The target: its column, the positive value as written, why both, and what happened in every row."""

    column: str
    positive: str
    why: str
    happened: NDArray[np.bool_]


def find_target(frame: pd.DataFrame, column: str | None = None, positive: str | None = None) -> Target:
    """Return the target, inferred where it is not given.

    Raises
    ------
    TableError
        There is no such column, it has other than two values, a row has none, or several columns may be meant.
    """
    if column is None:
        column, why = _infer(frame)
    elif column not in frame:
        raise TableError(
            f"there is no column {column!r} to predict: the columns are {', '.join(map(str, frame))}"
        )
    else:
        why = "as told"
    values = frame[column]
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0])
        raise TableError(
            f"row {row + 1}, column {column!r}: the target is missing: remove the row or fill it in"
        )
    texts = values.map(_shown)
    found = sorted(texts.unique())
    if positive is not None and positive not in found:
        raise TableError(
            f"column {column!r} has no value {positive!r}: its values are {', '.join(found[:10])}"
        )
    if len(found) != _CLASSES and positive is None:
        raise TableError(
            f"column {column!r} has {len(found)} values ({', '.join(found[:5])}{', ...' if len(found) > 5 else ''}), "  # noqa: PLR2004
            "a target has two: name the positive one by --positive"
        )
    if positive is None:
        positive, reason = _positive(texts, found)
        why = f"{why}; {reason}"
    return Target(column, positive, why, (texts == positive).to_numpy(dtype=bool))


def _infer(frame: pd.DataFrame) -> tuple[str, str]:
    two = [str(name) for name in frame if frame[name].nunique() == _CLASSES and not frame[name].isna().any()]
    named = [name for name in two if _NAMES.match(name)]
    if len(named) == 1:
        return named[0], "its name, and it has two values"
    asked = [
        name for name in map(str, frame) if _NAMES.match(name) and frame[name].nunique() <= _CLASSES_AT_MOST
    ]
    if not named and len(asked) == 1:
        return asked[0], "its name"  # and then it is told what is wrong with it
    if not named and len(two) == 1:
        return two[0], "the only column with two values"
    if not two:
        raise TableError("no column has exactly two values: name what is to be predicted by --target")
    raise TableError(
        f"several columns may be meant ({', '.join(named or two)}): name what is to be predicted by --target"
    )


def _positive(texts: pd.Series, found: list[str]) -> tuple[str, str]:
    low = {value.lower(): value for value in found}
    for yes in YES:
        if yes in low and any(no in low for no in NO):
            return low[yes], f"{low[yes]!r} means yes"
    rarer = str(texts.value_counts().index[-1])
    return rarer, f"{rarer!r} is the rarer value"


def _shown(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
