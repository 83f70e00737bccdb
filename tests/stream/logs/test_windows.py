from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np

from features.identity import Identify
from features.prices import Price
from stream.logs.rows import Encoded
from stream.logs.windows import LEAD_MS, Windows
from tests.stream.logs.logs import START

_MINUTE = 60_000
_HOUR = 60 * _MINUTE

#: A row: when it comes (ms after the first one), under which id, and what it says: to whom the id belongs, a price
#: (`PRICE`), nothing (`ERASE`) or that of an event (`EVENT`).
Row = tuple[int, str, str]
EVENT, PRICE, ERASE, BROKEN = "", "price of", "erase", "broken"


def encoded(rows: Sequence[Row]) -> Encoded:
    return Encoded(
        [key.encode() for _, key, _ in rows],
        [_value(at, row) for at, row in enumerate(rows)],
        [b"0"] * len(rows),
        np.zeros(len(rows), np.int32),
        START + np.array([time for time, _, _ in rows], np.int64),
        [at for at, (_, _, what) in enumerate(rows) if what not in (EVENT, ERASE)],
    )


def _value(at: int, row: Row) -> bytes | None:
    time, key, what = row
    if what == ERASE:
        return None
    if what == BROKEN:
        return b'{"type":"identify"}'
    if what == EVENT:
        return b"{}"
    said: Identify | Price = (
        Price(event_id=f"e-{at}", item_id=key, price=1.0, event_time=START + time)
        if what == PRICE
        else Identify(event_id=f"e-{at}", anonymous_id=key, customer_id=what, event_time=START + time)
    )
    return msgspec.json.encode(said)


def cuts(*rows: Row, partitions: int = 3, lateness_ms: int = _HOUR, pieces: Sequence[int] = ()) -> list[int]:
    """Return the rows before which workers have to hand over."""
    windows, found = Windows(partitions, lateness_ms), list[int]()
    bounds = [0, *pieces, len(rows)]
    for start, stop in zip(bounds, bounds[1:], strict=False):
        own = list(windows.of(encoded(rows[start:stop])))
        assert [row for one in own for row in range(one.start, one.stop)] == list(range(stop - start))
        found += [start + one.stop for one in own if one.closes]
    return found


LOGIN: Row = (0, "a", "ada")


def test_a_log_without_logins_and_prices_is_one_window() -> None:
    assert cuts(*[(at * _HOUR, f"c-{at % 7}", EVENT) for at in range(100)]) == []


def test_an_event_of_who_has_just_logged_in_waits_for_what_was_known_before() -> None:
    assert cuts(LOGIN, (0, "grace", EVENT), (0, "ada", EVENT), (1, "ada", EVENT)) == [2]


def test_what_comes_under_the_id_itself_follows_by_itself_and_is_waited_for_by_the_customer() -> None:
    assert cuts(LOGIN, (1, "a", EVENT), (2, "a", EVENT), (3, "ada", EVENT)) == [3]
    assert cuts(LOGIN, (1, "ada", EVENT), (2, "a", EVENT), (3, "a", EVENT), (4, "ada", EVENT)) == [1, 4]


def test_a_login_on_another_device_waits_for_the_first_one() -> None:
    assert cuts(LOGIN, (1, "b", "grace"), (2, "c", "ada"), (3, "ada", EVENT)) == [2, 3]


def test_whoever_is_linked_by_others_waits_too() -> None:
    assert cuts(LOGIN, (1, "ada", "eve"), (2, "eve", EVENT), (3, "a", EVENT), (4, "eve", EVENT)) == [1, 2, 4]


def test_a_login_that_is_known_hands_nothing_over() -> None:
    assert cuts(LOGIN, (1, "ada", EVENT), (2, "a", "ada"), (3, "ada", EVENT), (_HOUR, "ada", EVENT)) == [1]


def test_events_of_an_id_of_two_customers_are_handed_to_nobody() -> None:
    rows: list[Row] = [LOGIN, (1, "ada", EVENT), (2, "a", "grace"), (3, "a", EVENT), (4, "ada", EVENT)]
    assert cuts(*rows, (5, "grace", EVENT)) == [1]


def test_an_erasure_reaches_who_is_linked_before_the_next_event() -> None:
    assert cuts(LOGIN, (1, "ada", ERASE), (2, "a", EVENT)) == [1, 2]


def test_nothing_runs_ahead_of_a_login_or_a_price_for_longer_than_the_lead() -> None:
    for said in (LOGIN, (0, "tent", PRICE)):
        assert cuts(said, (LEAD_MS, "c", EVENT), (LEAD_MS + 1, "c", EVENT), (9 * _HOUR, "c", EVENT)) == [2]
        assert cuts(said, (_MINUTE, "c", EVENT), (_MINUTE + 1, "c", EVENT), lateness_ms=_MINUTE) == [2]


def test_the_lead_counts_from_the_first_row_of_a_window_and_a_late_event_does_not_set_it_back() -> None:
    half = LEAD_MS // 2
    rows: list[Row] = [(0, "tent", PRICE), (half, "rope", PRICE), (2 * half + 1, "c", EVENT)]
    assert cuts(*rows, (0, "rope", PRICE), (LEAD_MS + half, "c", EVENT), (3 * LEAD_MS, "c", EVENT)) == [2, 5]


def test_a_topic_of_one_partition_tells_nobody_prices() -> None:
    assert cuts((0, "tent", PRICE), (9 * _HOUR, "c", EVENT), partitions=1) == []
    assert cuts(LOGIN, (0, "ada", EVENT), partitions=1) == [1]


def test_what_workers_refuse_hands_nothing_over() -> None:
    assert cuts((0, "a", BROKEN), (9 * _HOUR, "ada", EVENT)) == []


def test_windows_are_the_same_however_the_log_is_cut_into_pieces(seed: int) -> None:
    chance, time, rows = random.Random(seed), 0, list[Row]()
    for _ in range(400):
        time += chance.randint(0, _MINUTE)
        what = chance.choice((EVENT, EVENT, EVENT, EVENT, "ada", "grace", PRICE))
        key = chance.choice(("a", "b", "c")) if what in ("ada", "grace") else chance.choice("abcdefg")
        rows.append((time, chance.choice(("ada", "grace")) if what == EVENT and key > "e" else key, what))
    whole = cuts(*rows)
    assert len(whole) > 10
    pieces = sorted(chance.sample(range(1, 400), 9))
    assert cuts(*rows, pieces=pieces) == whole
