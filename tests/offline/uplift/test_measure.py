"""Who is compared, what counts, and when nothing is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.log import LOG_SCHEMA
from offline.uplift import words
from offline.uplift.analysis import CONVERSION, REVENUE, Uplift, measure
from offline.uplift.assignment import assigned
from offline.uplift.effects import effect_sequence, effects_by
from offline.uplift.mismatch import checks
from offline.uplift.outcomes import outcomes, payments

DAY = 86_400_000
START = 20_000 * DAY


def actions(count: int = 8_000, share: float = 0.25, seed: int = 0, days: int = 10) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    held = chance.random(count) < share
    return pd.DataFrame(
        {
            "action_id": [f"a{at}" for at in range(count)],
            "customer_id": [f"c{at}" for at in range(count)],
            "trigger": "rule_holds",
            "action": chance.choice(["remind", "offer"], count),
            "purchase_intent": chance.random(count),
            "band": chance.choice(["medium", "high"], count),
            "segment": chance.choice(["new", "loyal"], count),
            "decided_at": START + np.sort(chance.integers(0, days * DAY, count)),
            "arm": np.where(held, "holdout", "treatment"),
            "experiment": "v1",
        }
    )


def log_of(rows: list[dict[str, object]]) -> pa.Table:
    """Return a log of purchases, with views at both ends of 20 days."""
    ends = [
        {"event_id": f"end{at}", "type": "view_item", "customer_id": "other", "event_time": START + at * DAY}
        for at in (0, 20)
    ]
    return pa.Table.from_pylist([*ends, *rows], schema=LOG_SCHEMA)


def bought(
    frame: pd.DataFrame, rows: np.ndarray, after: int = 1000, value: float = 20.0
) -> list[dict[str, object]]:
    some = frame[rows]
    return [
        {"event_id": f"p-{who}-{after}", "type": "purchase", "customer_id": who, "event_time": at + after,
         "value": value, "currency": "EUR"}
        for who, at in zip(some["customer_id"], some["decided_at"], strict=True)
    ]  # fmt: skip


def measured(
    frame: pd.DataFrame, rows: list[dict[str, object]], shares: dict[str, float] | None = None
) -> Uplift:
    return measure(frame, payments(log_of(rows), "EUR"), 3 * DAY, shares or {"v1": 0.25})


def buyers(frame: pd.DataFrame, treated: float, held_out: float) -> np.ndarray:
    rate = np.where(frame["arm"] == "treatment", treated, held_out)
    return np.random.default_rng(9).random(len(frame)) < rate


def test_a_large_effect_is_told() -> None:
    frame = actions()
    found = measured(frame, bought(frame, buyers(frame, 0.3, 0.1)))
    effect = found.overall[CONVERSION].at()
    assert effect.told == 1
    assert effect.lift_low < 2.0 < effect.lift_high
    assert "more often (between" in words.headline(found)
    assert {group.name: group.told for group in found.groups["segment"]} == {"new": 1, "loyal": 1}


def test_harm_is_told() -> None:
    frame = actions()
    found = measured(frame, bought(frame, buyers(frame, 0.1, 0.3)))
    assert found.overall[CONVERSION].at().told == -1
    assert "less often" in words.headline(found)


def test_few_buyers_tell_nothing() -> None:
    frame = actions()
    found = measured(frame, bought(frame, np.arange(len(frame)) < 40))
    assert not found.overall[CONVERSION].known.any()
    assert words.headline(found).startswith("No effect can be told yet: 40 of 8,000")


def test_lost_records_of_one_arm_on_one_day_are_named_and_no_lift_is_shown() -> None:
    frame = actions()
    lost = (frame["arm"] == "holdout") & ((frame["decided_at"] - START) // DAY == 4)
    frame = frame[~(lost & (np.random.default_rng(1).random(len(frame)) < 0.7))]
    found = measured(frame, bought(frame, buyers(frame, 0.3, 0.1)))
    assert found.failed[0].dimension == "day"
    assert found.failed[0].level == "2024-10-08"
    assert not found.overall and not found.groups
    assert words.headline(found).startswith("No lift is shown")
    assert "day 2024-10-08" in words.headline(found)


def test_lost_records_of_a_segment_are_named() -> None:
    frame = actions()
    lost = (frame["arm"] == "holdout") & (frame["segment"] == "loyal")
    frame = frame[~(lost & (np.random.default_rng(1).random(len(frame)) < 0.4))]
    dimensions = {check.dimension: check for check in measured(frame, []).failed}
    assert dimensions["segment"].level == "loyal"
    assert "trigger" not in dimensions or dimensions["segment"].p_value <= dimensions["trigger"].p_value


def test_a_fair_division_is_seldom_refused() -> None:
    refused = 0
    for seed in range(50):
        who = assigned(actions(1_000, 0.1, seed)).customers
        refused += any(check.failed for check in checks(who, {"v1": 0.1}))
    assert refused <= 1  # two tests in a thousand, of 50


def test_purchases_count_within_the_window_only() -> None:
    frame = actions(4)
    rows = [
        *bought(frame, np.arange(4) == 0, after=0),
        *bought(frame, np.arange(4) == 1, after=1),
        *bought(frame, np.arange(4) == 2, after=3 * DAY),
        *bought(frame, np.arange(4) == 3, after=3 * DAY + 1),
    ]
    found = outcomes(assigned(frame).customers, payments(log_of(rows), "EUR"), 3 * DAY).customers
    assert found.set_index("customer_id")["bought"].to_dict() == {
        "c0": False,
        "c1": True,
        "c2": True,
        "c3": False,
    }


def test_open_windows_and_actions_before_the_log_are_counted_apart() -> None:
    frame = actions(3).assign(decided_at=[START - 1, START + 17 * DAY, START + 17 * DAY + 1])
    found = outcomes(assigned(frame).customers, payments(log_of([]), "EUR"), 3 * DAY)
    assert (found.unseen, found.open, len(found.customers)) == (1, 1, 1)


def test_revenue_counts_each_event_once_in_one_currency_less_refunds() -> None:
    frame = actions(3).assign(decided_at=START)
    first, second, third = (bought(frame, np.arange(3) == at) for at in range(3))
    back = {**second[0], "event_id": "back", "type": "refund", "event_time": START + 2000, "value": 5.0}
    rows = [*first, *first, *second, back, {**third[0], "currency": "USD"}]
    paid = payments(log_of(rows), "EUR")
    found = outcomes(assigned(frame).customers, paid, 3 * DAY)
    assert found.customers.set_index("customer_id")["revenue"].to_dict() == {
        "c0": 20.0,
        "c1": 15.0,
        "c2": 0.0,
    }
    assert found.customers["bought"].all()
    assert (found.refunds, found.refunded, paid.foreign) == (1, 5.0, {"USD": 1})


def test_customers_count_by_their_first_action_and_repeated_records_once() -> None:
    frame = actions(3)
    later = frame.assign(action_id=["x", "y", "z"], decided_at=frame["decided_at"] + 5, action="later")
    managed = frame.head(1).assign(action_id="m", customer_id="m", arm="customer_managed")
    who = assigned(pd.concat([later, frame, frame.head(1), managed]))
    assert len(who.customers) == 3  # noqa: PLR2004
    assert "later" not in set(who.customers["action"])
    assert (who.repeated, who.managed, who.moved) == (1, 1, 0)


def test_a_customer_in_two_versions_counts_under_the_first() -> None:
    frame = actions(2)
    again = frame.head(1).assign(action_id="x", decided_at=frame["decided_at"].max() + 1, experiment="v2")
    who = assigned(pd.concat([again, frame]))
    assert who.later == 1
    assert set(who.customers["experiment"]) == {"v1"}


def test_versions_with_other_shares_are_weighted_and_not_pooled() -> None:
    """Many buy in the second half, when fewer are held out: pooled, that would look like an effect."""
    early = actions(8_000, 0.5, 0)
    late = actions(8_000, 0.05, 1).assign(experiment="v2")
    late["customer_id"], late["action_id"] = "l" + late["customer_id"], "l" + late["action_id"]
    both = pd.concat([early, late], ignore_index=True)
    rate = np.where(both["experiment"] == "v1", 0.05, 0.3)
    rows = bought(both, np.random.default_rng(2).random(len(both)) < rate)
    found = measured(both, rows, {"v1": 0.5, "v2": 0.05})
    assert found.overall[CONVERSION].at().told == 0
    assert set(found.versions) == {"v1", "v2"}
    pooled = found.outcomes.customers.assign(experiment="v1")
    assert effect_sequence(pooled, "bought", np.array([START + 20 * DAY]), {"v1": 0.275}).at().told == 1


def test_groups_are_corrected_for_their_number() -> None:
    """Of twenty segments without an effect, one would look like one."""
    frame = actions(20_000).assign(segment=[f"s{at % 20}" for at in range(20_000)])
    paid = payments(log_of(bought(frame, buyers(frame, 0.2, 0.2))), "EUR")
    customers = outcomes(assigned(frame).customers, paid, 3 * DAY).customers
    groups = effects_by(customers, "segment", "bought", START + 20 * DAY, {"v1": 0.25})
    alone = effect_sequence(
        customers[customers["segment"] == "s3"], "bought", np.array([START + 20 * DAY]), {"v1": 0.25}
    )
    third = next(group for group in groups if group.name == "s3")
    assert third.effect.known
    assert third.effect.high - third.effect.low > alone.at().high - alone.at().low
    assert not any(group.told for group in groups)


def test_scores_tell_conversion_only() -> None:
    frame = actions()
    paid = payments(log_of(bought(frame, buyers(frame, 0.3, 0.1))), "EUR", money=False)
    found = measure(frame, paid, 3 * DAY, {"v1": 0.25})
    assert REVENUE not in found.overall
    assert words.money(found) is None
    assert found.overall[CONVERSION].at().told == 1


@pytest.mark.parametrize("share", [0.02, 0.98])
def test_arms_without_a_customer_break_nothing(share: float) -> None:
    frame = actions(3, share, 5)
    found = measured(frame, bought(frame, np.array([True, False, True])), {"v1": share})
    assert words.headline(found).startswith("No ")
