from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream.messages.action import Action
from stream.messages.alert import Alert, Drifted
from stream.messages.score import ReasonRef, Score, SegmentRef
from stream.serving.live import view as views
from stream.serving.live.masks import Masks
from stream.serving.live.shown import Snapshot
from stream.serving.live.view import LiveView

NOW = 1_800_000_000_000
MINUTE = 60_000
LOYAL = SegmentRef(3, "Loyal customers")
SCORE = Score(
    "e", "ada", NOW - 500, NOW - 490, 0.5, 1800.0, NOW - 500, 0.5, None, "high", LOYAL,
    [ReasonRef("cart", 40.0, 1.2, "40 in the cart")], "offer", False, "b1", "f1",
)  # fmt: skip
ACTION = Action(
    "a1", "ada", "band_entered", "r", "offer", 0.5, "high", LOYAL, NOW - 500, NOW - 500, NOW + MINUTE, "treatment",
    "1-aaaa-0.5", "p1", "b1",
)  # fmt: skip


def score(customer: str = "ada", at: int = NOW - 500, **changes: Any) -> Score:
    times = {"event_time": at, "as_of": at, "scored_at": at + 10}
    return msgspec.structs.replace(SCORE, customer_id=customer, **times | changes)


def action(number: str = "a1", customer: str = "ada", **changes: Any) -> Action:
    return msgspec.structs.replace(ACTION, action_id=number, customer_id=customer, **changes)


def viewed(*scores: Score) -> LiveView:
    view = LiveView(Masks(None), NOW - 30 * MINUTE)
    for one in scores:
        view.add_score(one)
    return view


def listed(view: LiveView, at: int = NOW) -> list[str]:
    return [row.customer_id for row in view.snapshot(at).customers]


def test_who_is_about_to_buy_is_listed_with_all_that_the_last_score_said() -> None:
    [row] = viewed(score()).snapshot(NOW).customers
    assert (row.customer_id, row.purchase_intent, row.band, row.segment) == ("ada", 0.5, "high", LOYAL)
    assert (row.reasons, row.action, row.as_of) == (["40 in the cart"], "offer", NOW - 500)
    assert row.expires_at == NOW - 500 + 30 * MINUTE


def test_the_likeliest_come_first_and_low_bands_are_not_listed() -> None:
    view = viewed(score("a", purchase_intent=0.2), score("b", purchase_intent=0.9), score("c", band="low"))
    view.add_score(score("d", purchase_intent=0.4, band="medium"))
    assert listed(view) == ["b", "d", "a"]
    assert [row.customer_id for row in view.snapshot(NOW, ("high",)).customers] == ["b", "a"]
    assert view.snapshot(NOW, ("high",)).about_to_buy == 2


@pytest.mark.parametrize("change", [{"purchase": True}, {"band": "low"}])
def test_a_row_leaves_at_a_purchase_and_when_the_band_falls(change: dict[str, Any]) -> None:
    view = viewed(score(), score("eve"))
    view.add_score(score(at=NOW - 100, **change))
    assert listed(view) == ["eve"]


def test_a_row_leaves_when_its_score_expires() -> None:
    view = viewed(score(), score("eve", NOW - 400))
    assert listed(view, NOW - 501 + 30 * MINUTE) == ["eve", "ada"]
    assert listed(view, NOW - 500 + 30 * MINUTE) == ["eve"]


def test_a_row_leaves_at_an_erasure_and_nothing_else_of_the_customer_stays() -> None:
    view = viewed(score(), score("eve"))
    view.add_action(action())
    view.erase("ada")
    assert listed(view) == ["eve"]
    shown = view.snapshot(NOW)
    assert (shown.active.customers, shown.actions.newest) == (1, [])
    assert view.timeline("ada", NOW).points == []


def test_a_row_leaves_when_a_login_moves_what_was_known_to_another_id() -> None:
    view = viewed(score("a-1"))
    view.add_score(score("ada", NOW - 100, merged="a-1"))
    assert listed(view) == ["ada"]


def test_bots_and_staff_are_not_listed_nor_counted_as_customers() -> None:
    shown = viewed(score(traffic="bot"), score("eve", traffic="staff")).snapshot(NOW)
    assert (shown.customers, shown.active.customers) == ([], 0)
    assert sum(shown.rates.scores) == 2


def test_a_score_that_comes_again_after_a_crash_does_not_replace_a_newer_one() -> None:
    view = viewed(score(at=NOW - 100, purchase_intent=0.9), score(at=NOW - 500))
    assert view.snapshot(NOW).customers[0].purchase_intent == 0.9


def test_active_customers_are_counted_once_by_band_and_segment_for_half_an_hour() -> None:
    view = viewed(
        score("a", NOW - 1000), score("b", NOW - 800, band="low", segment=SegmentRef(0, "Visitors"))
    )
    view.add_score(score("a", NOW - 600, band="medium"))
    active = view.snapshot(NOW).active
    assert (active.customers, active.bands) == (2, {"high": 0, "medium": 1, "low": 1})
    assert [(one.name, one.customers) for one in active.segments] == [("Loyal customers", 1), ("Visitors", 1)]
    later = view.snapshot(NOW - 700 + 30 * MINUTE).active
    assert (later.customers, later.bands["medium"]) == (1, 1)


def test_who_was_active_long_ago_is_not_counted_where_one_partition_comes_whole_before_the_next() -> None:
    day = 24 * 60 * MINUTE
    first = [score("a", NOW - day), score("b", NOW - MINUTE)]
    view = viewed(*first, score("c", NOW - day), score("d", NOW - 2 * MINUTE), score("a", NOW - 3 * MINUTE))
    assert (view.snapshot(NOW).active.customers, view.snapshot(NOW).active.bands["high"]) == (3, 3)
    assert view.snapshot(NOW + 28 * MINUTE).active.customers == 1


def test_scores_and_events_are_counted_by_second_and_unknown_before_somebody_looked() -> None:
    view = viewed(score(at=NOW - 2_000), score("b", NOW - 2_000), score("c", NOW - 900))
    view.count_events(NOW // 1000 - 1, 7)
    rates = view.snapshot(NOW).rates
    assert (len(rates.scores), rates.scores[-2:], rates.ends_at) == (300, [2, 1], NOW)
    assert rates.events[-2:] == [None, 7]


def test_latency_runs_from_the_event_to_its_score_and_is_left_out_of_a_replay() -> None:
    latency = viewed(*(score(f"c{at}", NOW - 500 - at) for at in range(50))).snapshot(NOW).latency
    assert latency is not None
    assert latency.p50 == pytest.approx(10, rel=0.08)
    assert latency.scores == 50
    assert viewed(score(at=NOW - 1000 * MINUTE, scored_at=NOW)).snapshot(NOW).latency is None


def test_of_a_replay_the_clock_is_the_newest_event_and_rows_stay_when_it_ends() -> None:
    year = 365 * 24 * 60 * MINUTE
    view = viewed(
        score("old", NOW - year - 31 * MINUTE, scored_at=NOW - 5), score("new", NOW - year, scored_at=NOW)
    )
    shown = view.snapshot(NOW + 60 * MINUTE)
    assert (shown.now.at, shown.now.clock) == (NOW - year, "log")
    assert [row.customer_id for row in shown.customers] == ["new"]


def test_a_quiet_shop_is_no_replay() -> None:
    shown = viewed(score()).snapshot(NOW + 600 * MINUTE)
    assert (shown.now.clock, shown.customers) == ("wall", [])


def test_all_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_TRACKED", "MOST_ACTIVE", "MOST_TIMELINES", "MOST_POINTS", "MOST_SENT"):
        monkeypatch.setattr(views, name, 5)
    view = viewed(*(score(f"c{at}", NOW - 500 + at) for at in range(9)))
    shown = view.snapshot(NOW)
    assert [row.customer_id for row in shown.customers] == ["c8", "c7", "c6", "c5", "c4"]
    assert (shown.active.customers, shown.active.bands["high"]) == (5, 5)
    assert view.timeline("c3", NOW).points == []
    for at in range(9):
        view.add_score(score("c8", NOW - 400 + at))
    assert [point.as_of for point in view.timeline("c8", NOW).points] == [
        NOW - 400 + at for at in range(4, 9)
    ]
    for at in range(12):
        view.add_action(action(f"a{at}", f"c{at % 6}"))
        view.add_action(action(f"b{at}", "c8", decided_at=NOW + at))
    assert [one.action_id for one in view.timeline("c8", NOW).actions] == ["b7", "b8", "b9", "b10", "b11"]
    assert (view.timeline("c0", NOW).actions, len(view._leaving) <= 10) == ([], True)
    assert view._drawn == sum(map(len, view._timelines.values()))
    monkeypatch.setattr(views, "MOST_DRAWN", 7)
    view.add_score(score("c7", NOW))
    assert sorted(view._timelines) == ["c7", "c8"]


def test_at_most_a_hundred_rows_are_shown_of_all_that_are_counted() -> None:
    shown = viewed(*(score(f"c{at}", purchase_intent=at / 1000) for at in range(150))).snapshot(NOW)
    assert (len(shown.customers), shown.about_to_buy, shown.customers[0].customer_id) == (100, 150, "c149")


def test_masked_ids_name_the_same_person_everywhere_and_nobody_to_who_reads_them() -> None:
    view = LiveView(Masks(b"key"), NOW - MINUTE)
    view.add_score(score("customer-17"))
    view.add_action(action(customer="customer-17"))
    shown = view.snapshot(NOW)
    [row], [sent] = shown.customers, shown.actions.newest
    assert row.customer_id == sent.customer_id
    assert row.customer_id.startswith("cu…")
    assert "customer-17" not in msgspec.json.encode(shown).decode()
    assert LiveView(Masks(b"other"), 0)._masks.shown("customer-17") != row.customer_id
    told = view.timeline(row.customer_id, NOW)
    assert (told.customer_id, len(told.points), len(told.actions)) == (row.customer_id, 1, 1)


def test_an_id_that_another_process_has_masked_is_known_and_no_other() -> None:
    masked = Masks(b"key").shown("customer-17")
    view = LiveView(Masks(b"key"), NOW - MINUTE)
    view.add_score(score("customer-17"))
    assert view.real(masked) == "customer-17"
    assert len(view.timeline(masked, NOW).points) == 1
    assert view.real("customer-17") == "customer-17"
    assert [view.real(one) for one in ("cu…0123456789ab", "cu…", "…x")] == ["cu…0123456789ab", "cu…", "…x"]


def test_a_short_id_is_masked_whole() -> None:
    assert Masks(b"key").shown("c-17").startswith("…")


def test_actions_are_counted_once_by_kind_and_arm_and_say_whether_the_customer_bought_since() -> None:
    view = viewed(score(at=NOW - 900, purchase=True))
    view.add_action(action())
    view.add_action(action())
    view.add_action(action("a2", "eve", arm="holdout"))
    shown = view.snapshot(NOW).actions
    assert {(one.action, one.arm, one.count) for one in shown.counts} == {
        ("offer", "treatment", 1), ("offer", "holdout", 1)
    }  # fmt: skip
    assert [(one.action_id, one.bought_at) for one in shown.newest] == [("a2", None), ("a1", None)]
    view.add_score(score(at=NOW - 100, purchase=True))
    assert view.snapshot(NOW).actions.newest[1].bought_at == NOW - 100


def test_the_newest_actions_are_those_of_the_newest_events_and_a_customers_page_has_all_of_the_customer() -> (
    None
):
    view = viewed(score("eve"))
    view.add_action(action("new", "eve", decided_at=NOW - 1))
    for at in range(views.MOST_ACTIONS + 5):
        view.add_action(action(f"a{at}", decided_at=NOW - 1000 + at))
    view.add_action(action("old", "eve", decided_at=NOW - MINUTE))
    newest = [one.action_id for one in view.snapshot(NOW).actions.newest]
    assert (newest[0], newest[-1], len(newest)) == ("new", "a6", 50)
    assert {one.action_id for one in view.timeline("eve", NOW).actions} == {"new", "old"}


def test_dead_letters_are_counted_by_reason_and_alerts_are_shown_newest_first() -> None:
    view = viewed()
    for reason in ("late", "not_json", "late"):
        view.add_letter(reason, NOW)
    for kind in ("population", "log_loss"):
        view.add_alert(Alert(kind=kind, since=1, as_of=2, drifted=[Drifted("x", 0.3)], bundle="b"))  # type: ignore[arg-type]
    shown = view.snapshot(NOW)
    assert [(one.reason, one.count) for one in shown.refused.reasons] == [("late", 2), ("not_json", 1)]
    assert [alert.kind for alert in shown.alerts] == ["log_loss", "population"]


def test_lag_is_what_is_not_in_the_states_yet() -> None:
    view = viewed()
    assert view.snapshot(NOW).lag is None
    view.measure_lag({1: 4, 0: 3})
    lag = view.snapshot(NOW).lag
    assert lag is not None
    assert (lag.total, [one.partition for one in lag.partitions]) == (7, [0, 1])


def test_a_snapshot_reads_back_as_its_contract() -> None:
    view = viewed(score())
    view.add_action(action())
    shown = view.snapshot(NOW)
    assert msgspec.json.decode(msgspec.json.encode(shown), type=Snapshot) == shown
