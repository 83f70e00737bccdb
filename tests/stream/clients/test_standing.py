"""When customers leave a watcher's list, and what time it is there."""

from __future__ import annotations

from msgspec import structs

from stream.clients.standing import Departure, LogTime, Standing
from stream.messages.score import Score
from tests.stream.clients.test_watch import score

NOON = 1_772_366_400_000
MINUTE = 60_000


def at(minutes: float, customer: str = "ada", *, purchase: bool = False, scored_after: float = 1e9) -> Score:
    as_of = NOON + round(minutes * MINUTE)
    return structs.replace(
        score(customer), as_of=as_of, scored_at=as_of + round(scored_after * MINUTE), purchase=purchase
    )


def test_a_customer_leaves_when_the_horizon_is_over_and_not_before() -> None:
    standing = Standing()
    assert standing.take(at(0), wanted=True) is None
    assert standing.take(at(10, "bob"), wanted=True) is None
    assert standing.expire(NOON + 30 * MINUTE - 1) == []
    assert standing.expire(NOON + 30 * MINUTE) == [Departure("ada", "horizon", NOON)]
    assert "ada" not in standing
    assert "bob" in standing


def test_a_newer_score_keeps_a_customer_on_the_list() -> None:
    standing = Standing()
    standing.take(at(0), wanted=True)
    standing.take(at(20), wanted=True)
    assert standing.expire(NOON + 30 * MINUTE) == []
    assert standing.expire(NOON + 50 * MINUTE) == [Departure("ada", "horizon", NOON + 20 * MINUTE)]


def test_a_customer_leaves_with_a_score_that_is_not_wanted_and_once() -> None:
    standing = Standing()
    standing.take(at(0), wanted=True)
    assert standing.take(at(1), wanted=False) == Departure("ada", "filter", NOON)
    assert standing.take(at(2), wanted=False) is None
    assert standing.take(at(2, "bob"), wanted=False) is None


def test_a_customer_leaves_at_a_purchase_whatever_its_score_is() -> None:
    for wanted in (True, False):
        standing = Standing()
        standing.take(at(0), wanted=True)
        assert standing.take(at(5, purchase=True), wanted=wanted) == Departure("ada", "purchase", NOON)
        assert standing.take(at(6), wanted=True) is None
        assert "ada" in standing


def test_a_purchase_that_is_the_first_wanted_score_is_told_too() -> None:
    assert Standing().take(at(5, purchase=True), wanted=True) == Departure(
        "ada", "purchase", NOON + 5 * MINUTE
    )


def test_a_list_is_bounded_and_tells_whom_it_drops() -> None:
    standing = Standing(remembered=2)
    for customer in ("ada", "bob", "ada"):
        assert standing.take(at(0, customer), wanted=True) is None
    assert standing.take(at(1, "eve"), wanted=True) == Departure("bob", "displaced", NOON)


def test_a_replayed_log_has_its_own_time() -> None:
    time = LogTime(lambda: NOON + 600 * 24 * 60 * MINUTE)
    assert time.now() is None
    time.take(0, at(3))
    time.take(1, at(1))
    assert time.now() == NOON + 3 * MINUTE


def test_a_live_log_follows_the_wall_clock_even_when_no_score_comes() -> None:
    now = NOON + MINUTE
    time = LogTime(lambda: now)
    time.take(0, at(0, scored_after=0.001))
    assert time.now() == NOON + MINUTE
    now += 40 * MINUTE
    assert time.now() == NOON + 41 * MINUTE


def test_time_waits_for_partitions_that_are_still_read_and_never_goes_back() -> None:
    time = LogTime()
    time.take(0, at(50))
    assert time.now([1]) is None
    time.take(1, at(10))
    assert time.now([1]) == NOON + 10 * MINUTE
    assert time.now([]) == NOON + 50 * MINUTE
    assert time.now([1]) == NOON + 50 * MINUTE
