"""Who moves between segments over time, and what a segment's customers brought after they were divided."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from offline.chapters.segments.segmented import Segmented
from offline.lab.differences import LEAST, median_interval
from offline.lab.statistics import wilson
from offline.views.log_view import LogView
from offline.views.net_orders import net_orders

#: Moments that are looked at, and how many such steps the log is long.
MOMENTS: Final = 5
_STEPS_IN_LOG: Final = 7
_DAY: Final = pd.Timedelta(days=1)
_HOUR: Final = pd.Timedelta(hours=1)
NOT_YET: Final = "not yet a customer"
#: Customers of a segment that nobody is in any more.
OTHER: Final = "another segment"


class Movement(NamedTuple):
    """Shares of segments at several moments, and the moves in the last step.

    Attributes
    ----------
    moments
        When the customers were divided, the last at the log's end.
    sizes
        Customers per segment and moment, one row each.
    moves
        Customers by segment before (rows, with those not yet known) and after the last step.
    later
        What customers in each segment did afterwards, from two steps before the end on: share that ordered with its
        95% interval, median spending with its own (unknown below 30 customers), mean spending. Empty where there are
        no orders then.
    since
        The moment that ``later`` begins at.
    """

    moments: list[pd.Timestamp]
    sizes: pd.DataFrame
    moves: pd.DataFrame
    later: pd.DataFrame
    since: pd.Timestamp


def movement(view: LogView, segments: Segmented) -> Movement:
    """Divide the customers at several moments, each as they were known then, by the segments of the log's end."""
    end = view.last + pd.Timedelta(seconds=1)
    step = (end - view.first) / _STEPS_IN_LOG
    step = step.floor("D") if step >= 2 * _DAY else step.floor("h") if step >= 2 * _HOUR else step
    moments = [end - step * back for back in range(MOMENTS - 1, -1, -1)]
    divided = [segments.at(view, moment) for moment in moments]
    names = dict(enumerate(segments.names)) | {-1: OTHER}
    sizes = pd.DataFrame(
        [then.value_counts().reindex(range(segments.count), fill_value=0).to_numpy() for then in divided],
        columns=segments.names,
    )
    sizes.insert(0, "moment", moments)
    before = divided[-2].reindex(divided[-1].index).map(names).fillna(NOT_YET)
    after = divided[-1].map(names)
    gone = [OTHER] if (before == OTHER).any() else []
    moves = pd.crosstab(before, after).reindex(
        index=[*segments.names, *gone, NOT_YET], columns=segments.names, fill_value=0
    )
    return Movement(moments, sizes, moves, _later(view, segments, divided[-3], moments[-3]), moments[-3])


def _later(view: LogView, segments: Segmented, then: pd.Series, since: pd.Timestamp) -> pd.DataFrame:
    orders = net_orders(view)
    afterwards = orders[orders["time"] >= since].groupby("customer")["value"]
    known = pd.DataFrame({"size": afterwards.size(), "sum": afterwards.sum(min_count=1)}).reindex(then.index)
    known = known.fillna({"size": 0.0})
    known["sum"] = known["sum"].where(known["size"] > 0, 0.0)  # unknown where all was in another currency
    total = float(known["sum"].sum())
    rows = []
    for k, name in enumerate(segments.names):
        own = known[(then == k).to_numpy()]
        if not len(own):
            continue
        ordered = int((own["size"] > 0).sum())
        low, high = wilson([ordered], [len(own)])
        spent = own["sum"].dropna()
        median = median_interval(spent) if len(spent) >= LEAST else (np.nan, np.nan)
        rows.append(
            {
                "segment": name,
                "customers": len(own),
                "ordered": ordered,
                "share": ordered / len(own),
                "low": low[0],
                "high": high[0],
                "median spent": float(spent.median()) if len(spent) >= LEAST else np.nan,
                "median low": median[0],
                "median high": median[1],
                "mean spent": float(spent.mean()),
                "share of revenue": float(spent.sum()) / total if total else np.nan,
            }
        )
    return pd.DataFrame(rows)
