from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import msgspec
import pytest

from stream.messages.score import Score, SegmentRef, decode_score
from stream.serving import problems
from stream.serving.feed import Feed, Wanted, _Follower, positions_of
from stream.serving.ring import Entry, Ring
from stream.settings import Settings

SCORE = Score(
    "e",
    "ada",
    1,
    2,
    0.5,
    1800.0,
    1,
    0.5,
    None,
    "high",
    SegmentRef(2, "Loyal customers"),
    [],
    "call",
    False,
    "b",
    "f",
)


def entry(offset: int, partition: int = 0, customer: str = "ada", **changes: Any) -> Entry:
    score = msgspec.structs.replace(SCORE, customer_id=customer, **changes)
    return Entry(partition, offset, customer, msgspec.json.encode(score), score)


def tombstone(offset: int, customer: str = "ada") -> Entry:
    return Entry(0, offset, customer, None, None)


def events(piece: bytes) -> list[dict[str, str]]:
    lines = [text.splitlines() for text in piece.decode().split("\n\n") if text]
    return [dict(line.split(": ", 1) for line in one) for one in lines]


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        (Wanted(), True),
        (Wanted(bands=frozenset({"high", "low"})), True),
        (Wanted(bands=frozenset({"low"})), False),
        (Wanted(segments=("loyal",)), True),
        (Wanted(segments=("1", "2")), True),
        (Wanted(segments=("1",)), False),
        (Wanted(actions=frozenset({"call"}), customers=frozenset({"ada"})), True),
        (Wanted(actions=frozenset({"none"})), False),
        (Wanted(customers=frozenset({"eve"})), False),
    ],
)
def test_filters_are_all_to_be_met_and_each_by_one_of_its_values(wanted: Wanted, has: bool) -> None:
    assert wanted.has(entry(1)) is has


def test_scores_of_bots_come_only_when_asked_for_and_erasures_whatever_the_band() -> None:
    assert not Wanted().has(entry(1, traffic="bot"))
    assert Wanted(all_traffic=True).has(entry(1, traffic="bot"))
    assert Wanted(bands=frozenset({"low"})).has(tombstone(1))
    assert not Wanted(customers=frozenset({"eve"})).has(tombstone(1))


def test_the_segments_of_what_is_held_are_known_whatever_bundle_they_are_of() -> None:
    feed = Feed(Settings(_env_file=None), "scores", 1, "score", decode_score)
    for one in (entry(1), entry(2, segment=SegmentRef(1, "Patrons")), tombstone(3)):
        feed._ring.add(one)
    assert feed.segments() == {SegmentRef(2, "Loyal customers"), SegmentRef(1, "Patrons")}


def test_an_id_holds_the_positions_after_its_event_over_those_left_out() -> None:
    at = _Follower("score", Wanted(bands=frozenset({"high"})), [5, 0])
    told = events(
        at.frames([entry(5), entry(3, partition=1, band="low"), entry(4, partition=1), tombstone(6)])
    )
    assert [(one["id"], one["event"]) for one in told] == [
        ("6.0", "score"),
        ("6.5", "score"),
        ("7.5", "erased"),
    ]
    assert json.loads(told[0]["data"])["customer_id"] == "ada"
    assert positions_of(told[1]["id"], 2) == [6, 5]


def test_what_a_client_has_had_does_not_come_again() -> None:
    at = _Follower("score", Wanted(), [6, 0])
    assert at.frames([entry(4), entry(5)]) == b""
    assert len(events(at.frames([entry(5), entry(6)]))) == 1


def test_positions_that_the_log_has_no_more_are_told_as_a_gap() -> None:
    at = _Follower("score", Wanted(), [2, 90])
    told = events(at.begun({0: 10, 1: 0}, {0: 20, 1: 50}, gaps=True))
    assert [json.loads(one["data"]) for one in told] == [
        {"partition": 0, "from": 2, "to": 10},
        {"partition": 1, "from": 90, "to": 50},
    ]
    assert at.positions == [10, 50]


@pytest.mark.parametrize("text", ["", "1", "1.2.3.4", "1.-2.3", "a.b.c", "1.2.²", "1.2." + "9" * 40])
def test_an_id_of_another_stream_is_refused(text: str) -> None:
    with pytest.raises(problems.BadRequest, match="Last-Event-ID"):
        positions_of(text, 3)


def test_a_ring_is_bounded_and_says_what_it_has_let_go() -> None:
    ring = Ring(bytes_max=20_000)
    for offset in range(50):
        ring.add(entry(offset))
    assert 0 < ring.following - ring.first < 15
    assert [one.offset for one in ring.since(ring.following - 2, 10)] == [48, 49]
    with pytest.raises(IndexError, match="record 0 is gone"):
        ring.since(0, 10)


def test_who_waits_is_woken_by_news_and_not_before() -> None:
    async def wait() -> tuple[bool, bool]:
        ring = Ring()
        nothing = await ring.wait(0, 0.01)
        waiting = asyncio.create_task(ring.wait(0, 5.0))
        await asyncio.sleep(0)
        ring.add(entry(0))
        ring.tell()
        return nothing, await waiting

    assert asyncio.run(wait()) == (False, True)
    assert cast(object, Ring().since(0, 5)) == []
