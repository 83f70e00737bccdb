from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from features.exceptions import StoreUnavailable
from stream.logs.lead import GONE_SECONDS, HANGING_SECONDS, Lead
from stream.logs.rows import Encoded
from stream.logs.windows import Windows
from stream.logs.workers import Progress
from tests.stream.logs.test_windows import EVENT, LOGIN, Row, encoded

#: Two logins, each followed by an event of the customer: three windows.
ROWS: list[Row] = [LOGIN, (1, "ada", EVENT), (2, "b", "bob"), (3, "bob", EVENT), (4, "eve", EVENT)]


class Shop:
    """A clock, a topic of one partition and a worker that does some records a second.

    Parameters
    ----------
    speed
        Returns records a second at a moment (seconds since the beginning).
    present
        Returns whether the group has a member.
    hands_over
        How many records a login makes, each of which makes the next one.
    answers
        Whether Redis does.
    """

    def __init__(
        self,
        speed: Callable[[float], float] = lambda now: 1_000,
        *,
        present: Callable[[float], bool] = lambda now: True,
        hands_over: int = 1,
        answers: Callable[[float], bool] = lambda now: True,
    ) -> None:
        self.time = 0.0
        self.sent: list[tuple[int, float]] = []  # how many rows, and how many records were done by then
        self.notes: list[str] = []
        self.looked = 0
        self.asked = 0
        self._speed, self._present, self._answers = speed, present, answers
        self._hands_over = hands_over
        self._log: list[int] = []  # how many records follow from each
        self._done = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        for _ in range(100):  # what is handed over is worked on, too
            before = int(self._done)
            self._done = min(self._done + self._speed(self.time) * seconds / 100, len(self._log))
            for left in self._log[before : int(self._done)]:
                if left:
                    self._log.append(left - 1)

    async def send(self, rows: Encoded, start: int, stop: int) -> None:
        self.sent.append((stop - start, self.done))
        self._log += [self._hands_over if at in rows.said else 0 for at in range(start, stop)]

    async def flush(self) -> None:
        pass

    async def present(self) -> bool:
        self.asked += 1
        return self._present(self.time)

    async def ends(self) -> Sequence[int]:
        return [len(self._log)]

    async def progress(self) -> Progress:
        if not self._answers(self.time):
            raise StoreUnavailable("Redis at nowhere:6379 failed")
        return Progress([self.done], True)

    @property
    def done(self) -> int:
        return int(self._done)

    async def found(self) -> Shop:
        self.looked += 1
        return self

    def replay(self, *pieces: Sequence[Row], finish: bool = False) -> list[tuple[int, float]]:
        """Send rows; return how many there are in each window, and how many records were done before it."""

        async def run() -> None:
            lead = Lead(Windows(1, 3_600_000), self.found, self, self.notes.append)
            for rows in pieces:
                await lead.send(self, encoded(rows))
            if finish:
                await lead.finish(self)

        asyncio.run(run())
        return self.sent


def test_a_window_waits_until_what_the_one_before_hands_over_is_in_the_states() -> None:
    shop = Shop()
    assert shop.replay(ROWS) == [(1, 0), (2, 2), (2, 5)]
    assert shop.time < 1
    assert shop.notes == []


def test_what_is_handed_over_may_be_handed_on() -> None:
    assert Shop(hands_over=4).replay(ROWS) == [(1, 0), (2, 5), (2, 11)]


def test_a_log_that_hands_nothing_over_is_sent_at_once_and_nobody_is_looked_for() -> None:
    shop = Shop(present=lambda now: False)
    events: list[Row] = [(at, "ada", EVENT) for at in range(9)]
    assert shop.replay(events, events) == [(9, 0), (9, 0)]
    assert (shop.looked, shop.time, shop.notes) == (0, 0, [])


def test_where_no_worker_runs_the_replay_says_so_at_once_and_goes_on() -> None:
    shop = Shop(lambda now: 0, present=lambda now: False)
    assert sum(count for count, _ in shop.replay(ROWS, ROWS, finish=True)) == 2 * len(ROWS)
    assert shop.time == 0
    assert (shop.looked, shop.asked) == (1, 1)
    [note] = shop.notes
    assert note.startswith("no worker reads along: ") and "while `intent worker` runs" in note


def test_a_slow_worker_is_waited_for() -> None:
    shop = Shop(lambda now: 1 / 8)
    assert shop.replay(ROWS) == [(1, 0), (2, 2), (2, 5)]
    assert shop.time > 38
    assert shop.notes == []


def test_a_worker_that_dies_in_the_middle_is_not_waited_for_longer_than_the_broker_counts_it() -> None:
    shop = Shop(lambda now: 0 if shop.done >= 2 else 1_000, present=lambda now: now < 10.5)
    assert shop.replay(ROWS, ROWS) == [(1, 0), (2, 2), (2, 2), (5, 2)]
    assert GONE_SECONDS < shop.time < GONE_SECONDS + 3
    [note] = shop.notes
    assert "no worker has scored anything for 1" in note


def test_another_worker_takes_over() -> None:
    shop = Shop(lambda now: 0 if 0.01 < now < 25 else 1_000)
    assert shop.replay(ROWS) == [(1, 0), (2, 2), (2, 5)]
    assert shop.notes == []


def test_a_worker_that_hangs_is_given_up() -> None:
    shop = Shop(lambda now: 0)
    assert shop.replay(ROWS) == [(1, 0), (2, 0), (2, 0)]
    assert HANGING_SECONDS <= shop.time < HANGING_SECONDS + 2
    assert "no worker has scored anything for 6" in shop.notes[0]


def test_a_redis_that_never_answers_is_told_and_the_replay_goes_on() -> None:
    shop = Shop(answers=lambda now: False)
    assert [count for count, _ in shop.replay(ROWS)] == [1, 2, 2]
    assert GONE_SECONDS <= shop.time < GONE_SECONDS + 1
    assert shop.notes[0].startswith("Redis at nowhere:6379 failed: what partitions tell each other")


def test_an_address_of_redis_that_cannot_be_read_is_told_and_the_replay_goes_on() -> None:
    class Lost(Shop):
        async def found(self) -> Shop:
            raise StoreUnavailable("the URL of Redis cannot be read")

    shop = Lost()
    assert [count for count, _ in shop.replay(ROWS)] == [1, 2, 2]
    assert shop.time == 0
    assert shop.notes[0].startswith("the URL of Redis cannot be read: ")


def test_a_short_outage_of_redis_is_waited_out() -> None:
    shop = Shop(lambda now: 5, answers=lambda now: not 0.1 < now < 30)
    assert shop.replay(ROWS) == [(1, 0), (2, 2), (2, 5)]
    assert shop.notes == []


def test_others_who_write_for_ever_do_not_hold_the_replay_up() -> None:
    class Busy(Shop):
        async def ends(self) -> Sequence[int]:
            self._log += [0] * 10
            return await super().ends()

    shop = Busy()
    shop.replay(ROWS)
    assert [count for count, _ in shop.sent] == [1, 2, 2]
    assert shop.time < 10
    assert shop.notes == []


def test_the_end_of_the_log_waits_too_where_something_comes_after_it() -> None:
    shop = Shop()
    shop.replay(ROWS[:3], finish=True)
    assert shop.done == 5
