"""Who was assigned to which arm, and when: each customer's first action."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import pandas as pd

#: What has to be known of an action, by the names of its record; times are epoch milliseconds.
ACTION_COLUMNS: Final = (
    "action_id", "customer_id", "trigger", "action", "purchase_intent", "band", "segment", "decided_at", "arm",
    "experiment",
)  # fmt: skip
TREATMENT, HOLDOUT, MANAGED = "treatment", "holdout", "customer_managed"


@dataclass(frozen=True)
class Assigned:
    """The customers of an experiment.

    Attributes
    ----------
    customers
        One row for each customer in treatment or holdout, by ``decided_at``: the columns of the first action, and
        ``treated``.
    managed
        Customers whom the shop itself treats or leaves alone; they are compared with nobody.
    repeated
        Records left out because another one with the same ``action_id`` came before.
    later
        Customers who also have actions under a later version; they count under the first one only. What happened to
        them there may have come of what was done to them before.
    moved
        Customers of one id with actions in both arms of one version, which no assignment by chance makes.
    crossed
        People of several ids with actions in both arms of one version: before a login the ids were two customers. They
        count in the arm of their first action.
    """

    customers: pd.DataFrame
    managed: int
    repeated: int
    later: int
    moved: int
    crossed: int = 0


def assigned(actions: pd.DataFrame, several: Collection[str] = ()) -> Assigned:
    """Assign each customer by the first action, whatever comes later.

    What is known before the first action cannot have come of the treatment. Of later actions this is not so: who has
    bought is reminded of no cart.

    Parameters
    ----------
    actions
        Has `ACTION_COLUMNS`, in any order.
    several
        Which customers are people of several ids.
    """
    once = actions.drop_duplicates("action_id")
    ordered = once.sort_values(["decided_at", "action_id"], kind="stable", ignore_index=True)
    managed = int(ordered.loc[ordered["arm"] == MANAGED, "customer_id"].nunique())
    compared = ordered[ordered["arm"].isin((TREATMENT, HOLDOUT))]
    arms = compared.groupby(["experiment", "customer_id"], observed=True)["arm"].nunique()
    versions = compared.groupby("customer_id", observed=True)["experiment"].nunique()
    both = arms[arms > 1].index.get_level_values("customer_id").unique()
    crossed = int(both.isin(list(several)).sum())
    first = compared.drop_duplicates("customer_id").reset_index(drop=True)
    return Assigned(
        first.assign(treated=first["arm"] == TREATMENT),
        managed,
        len(actions) - len(once),
        int((versions > 1).sum()),
        len(both) - crossed,
        crossed,
    )
