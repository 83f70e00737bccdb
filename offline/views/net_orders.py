"""Orders less refunds: an order that was returned is neither revenue nor a sign of a good customer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.columns import from_table
from features.log import ERASED
from offline.examples.examples import Context
from offline.views.log_view import LogView

_CENT = 0.005


@dataclass(frozen=True)
class CustomerView(LogView):
    """A `LogView` that also knows who got money back, and when.

    Attributes
    ----------
    refunds
        ``customer``, ``time`` (the shop's local time), ``value``.
    """

    refunds: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of(cls, log: pa.Table, context: Context) -> CustomerView:
        """Return the view of a log; erased events are left out."""
        plain = LogView.of(log, context)
        log = log.filter(pc.not_equal(log["type"], ERASED))
        numbers = log["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        given = np.flatnonzero(pc.equal(log["type"], "refund").to_numpy())
        columns = from_table(log.take(given), context.currency)
        given = given[~columns.foreign]
        back = log.take(given)
        local = back["event_time"].to_pandas().dt.tz_convert(context.timezone).dt.tz_localize(None)
        refunds = pd.DataFrame(
            {"customer": numbers[given], "time": local, "value": columns.money[~columns.foreign]}
        ).sort_values("time", kind="stable", ignore_index=True)
        return cls(
            plain.events, plain.orders, plain.refunded, plain.timezone, plain.currency, refunds=refunds
        )

    def net_orders(self, moment: pd.Timestamp | None = None) -> pd.DataFrame:
        """Return the orders before a moment (all by default), less the refunds before it.

        A refund is subtracted from the customer's latest earlier order of the same value, else from the latest ones. An
        order with nothing left is dropped. Orders in another currency stay: what came back of them is not known.
        """
        orders = self.orders if moment is None else self.orders[self.orders["time"] < moment]
        refunds = self.refunds if moment is None else self.refunds[self.refunds["time"] < moment]
        if not len(refunds):
            return orders
        value = orders["value"].to_numpy(copy=True)
        paid = value > 0
        times = orders["time"].to_numpy()
        of = orders.groupby("customer").indices
        for customer, time, amount in zip(
            refunds["customer"], refunds["time"].to_numpy(), refunds["value"], strict=True
        ):
            own = of.get(customer)
            if own is None:
                continue
            earlier = own[(times[own] <= time) & paid[own]][::-1]
            same = earlier[np.abs(value[earlier] - amount) < _CENT]
            left = float(amount)
            for at in same[:1] if len(same) else earlier:
                taken = min(left, value[at])
                value[at] -= taken
                left -= taken
                if left < _CENT:
                    break
        kept = ~paid | (value >= _CENT)
        return orders.assign(value=value)[kept]


def settled(view: LogView) -> LogView:
    """Return the view with orders less all refunds."""
    return LogView(view.events, net_orders(view), 0.0, view.timezone, view.currency)


def of_known_money(view: LogView) -> LogView:
    """Return the view with orders of those customers only who never paid in another currency."""
    unknown = view.orders.loc[view.orders["value"].isna(), "customer"]
    return replace(view, orders=view.orders[~view.orders["customer"].isin(unknown)])


def net_orders(view: LogView, moment: pd.Timestamp | None = None) -> pd.DataFrame:
    """Return a view's orders before a moment, less refunds where the view knows them, none above the view's limit."""
    if isinstance(view, CustomerView):
        orders = view.net_orders(moment)
    else:
        orders = view.orders if moment is None else view.orders[view.orders["time"] < moment]
    return orders if np.isinf(view.limit) else orders.assign(value=orders["value"].clip(upper=view.limit))
