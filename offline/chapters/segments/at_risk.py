"""Whether customers who used to order and went quiet are more lost than others with as many orders."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from offline.chapters.segments.history import DAY, history_at
from offline.chapters.segments.segmented import Groups
from offline.lab.differences import Stratified, stratified
from offline.lab.statistics import ALPHA
from offline.views.log_view import LogView
from offline.views.net_orders import net_orders

#: Of the rules: twice or more, not lately, but not for long.
AT_RISK: Final = "At risk"
# Customers of as many orders are compared; of more, with all others who have many.
_MANY: Final = 6


class Quiet(NamedTuple):
    """What customers at risk at a past moment did afterwards, beside others with as many orders who ordered lately."""

    since: pd.Timestamp
    days: int
    found: Stratified


def quiet_customers(view: LogView, groups: Groups, since: pd.Timestamp) -> Quiet | None:
    """Return what became of those who were at risk at a moment, if they ordered less often than comparable others.

    None where the difference may be chance, or there were too few to tell: then nobody is about to be lost for all
    that is known.
    """
    known = history_at(view, since)
    names = groups.at(view, since).map(dict(enumerate(groups.names)))
    at_risk = (names == AT_RISK).reindex(known.index).to_numpy(np.bool_)
    lately = ((known["purchases"] >= 2) & (known["since_order"] <= groups.bounds.active)).to_numpy()  # noqa: PLR2004
    compared = at_risk | lately
    orders = net_orders(view)
    later = orders.loc[orders["time"] >= since, "customer"].unique()
    again = known.index.isin(later)
    many = np.minimum(known["purchases"].to_numpy(), _MANY)
    found = stratified(at_risk[compared], again[compared], many[compared])
    if found is None or found.p_value >= ALPHA or found.share >= found.others:
        return None
    return Quiet(since, round((view.last - since) / DAY), found)
