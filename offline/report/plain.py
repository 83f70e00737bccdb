"""Values as JSON can hold them: numbers of numpy and pandas become plain ones, NaN becomes null."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd


def plain(value: Any) -> Any:
    """Return a value in plain types: dict, list, str, bool, int, float or None.

    Frames become lists of rows; infinite numbers and NaN become None; times become ISO texts.

    Examples
    --------
    >>> plain({"auc": np.float64("nan"), "rows": np.int64(3), "of": np.array([True])})
    {'auc': None, 'rows': 3, 'of': [True]}
    """
    result: Any
    if value is None or value is pd.NaT or value is pd.NA:
        result = None
    elif isinstance(value, bool | np.bool_):
        result = bool(value)
    elif isinstance(value, int | np.integer):
        result = int(value)
    elif isinstance(value, float | np.floating):
        result = float(value) if math.isfinite(value) else None
    elif isinstance(value, pd.DataFrame):
        result = [plain(row) for row in value.to_dict("records")]
    elif isinstance(value, msgspec.Struct):
        result = plain(msgspec.to_builtins(value))
    elif isinstance(value, pd.Series | Mapping):
        result = {str(key): plain(item) for key, item in value.items()}
    elif isinstance(value, dt.datetime | dt.date):
        result = value.isoformat()
    elif isinstance(value, np.ndarray | pd.Index):
        result = [plain(item) for item in value.tolist()]
    elif isinstance(value, list | tuple | set | frozenset):
        result = [plain(item) for item in value]
    elif isinstance(value, str | Path | pd.Timedelta | pd.Period | np.datetime64):
        result = str(value)
    else:
        raise TypeError(f"a {type(value).__name__} among the figures of a section cannot become JSON")
    return result
