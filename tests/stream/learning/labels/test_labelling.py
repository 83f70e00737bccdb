"""Labels from outcomes are those of the horizon rule on the whole history."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.calendar import zone
from features.labels import LabelStart, horizon_labels
from features.state import DAY_MS, HOUR_MS, MINUTE_MS
from stream.learning.labels.labelling import Labeller, customer_keys
from stream.learning.records.outcomes import ERASURE, PURCHASE, Outcomes

BERLIN = zone("Europe/Berlin")


@given(st.integers(0, 2**32 - 1), st.sampled_from([("0", 30 * MINUTE_MS), ("next-day", 3 * DAY_MS)]))
def test_labels_are_those_of_the_rule_that_training_uses(seed: int, rule: tuple[LabelStart, int]) -> None:
    chance = random.Random(seed)
    start, horizon = rule
    step = 3 * MINUTE_MS if start == "0" else 7 * HOUR_MS
    events, time, last = [], 10**12, {}
    for offset in range(chance.randint(1, 200)):
        time += chance.choice((0, 0, chance.randrange(step)))
        customer = f"c{chance.randrange(3)}"
        own = time - chance.choice((0, 0, chance.randrange(10 * MINUTE_MS)))
        last[customer] = max(own, last.get(customer, 0))
        events.append((offset, customer, own, last[customer], chance.random() < 0.15))
    codes = np.array([int(customer[1:]) for _, customer, *_ in events])
    as_of = np.array([event[3] for event in events])
    bought = np.array([event[2] if event[4] else -1 for event in events])
    wanted = horizon_labels(codes, as_of, bought, horizon_ms=horizon, start=start, zone=BERLIN, end=2**62)
    labeller = Labeller(horizon, start, BERLIN)
    at = 0
    while at < len(events):  # as it comes, in batches
        part = [event for event in events[at : at + chance.randint(1, 40)]]
        at = part[-1][0] + 1
        own_part = [event for event in part if event[4]]
        labeller.add(
            outcomes([(PURCHASE, offset, time, customer) for offset, customer, time, *_ in own_part])
        )
        labeller.labels(*asked(events[:1]))
    assert labeller.labels(*asked(events)).tolist() == wanted.tolist()


def asked(events: list[tuple[int, str, int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        customer_keys([event[1] for event in events]),
        np.array([event[3] for event in events], np.int64),
        np.array([event[0] for event in events], np.int64),
    )


def outcomes(rows: list[tuple[int, int, int, str]]) -> Outcomes:
    return Outcomes(
        np.array([row[0] for row in rows], np.uint8),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64),
        [row[3] for row in rows],
    )


def test_what_no_example_needs_any_more_is_forgotten() -> None:
    labeller = Labeller(30 * MINUTE_MS, "0", BERLIN)
    for offset in range(0, 100_000, 100):
        labeller.add(outcomes([(PURCHASE, at, at, f"c{at}") for at in range(offset, offset + 100)]))
        labeller.labels(*asked([(0, "c", 0, 0, False)]))
        labeller.forget(offset)
        assert len(labeller) < 5_000
    assert labeller.labels(*asked([(99_950, "c99999", 99_950, 99_950, False)])).tolist() == [1]


@pytest.mark.parametrize(
    ("watermark", "cancelled"), [(0, True), (30 * MINUTE_MS, True), (30 * MINUTE_MS + 1, False)]
)
def test_an_erasure_cancels_what_was_not_final_when_it_came(watermark: int, cancelled: bool) -> None:
    labeller = Labeller(30 * MINUTE_MS, "0", BERLIN)
    labeller.add(outcomes([(ERASURE, 5, watermark, "anna")]))
    events = [(4, "anna", 0, 0, False), (6, "anna", 0, 0, False), (4, "bert", 0, 0, False)]
    assert labeller.cancelled(*asked(events)).tolist() == [cancelled, False, False]
