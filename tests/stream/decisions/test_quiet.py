"""The quiet time ends when a plain search by minutes says so, also where clocks change."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from features.calendar import zone
from stream.decisions.quiet import WEEKDAYS, quiet_end, quiet_minutes
from tests.features.histories import DAY, MINUTE, MONDAY

BERLIN = ZoneInfo("Europe/Berlin")
TABLE = zone("Europe/Berlin")
#: A usual Monday, and the days on which clocks change.
STARTS = st.sampled_from([MONDAY, 1_711_756_800_000, 1_729_900_800_000])


@settings(deadline=None, max_examples=60)
@given(
    start=STARTS,
    minute=st.integers(0, 2 * 24 * 60),
    begin=st.integers(0, 23),
    length=st.integers(1, 12),
    days=st.lists(st.sampled_from(WEEKDAYS), max_size=2, unique=True),
)
def test_the_end_is_the_first_minute_that_is_not_quiet(
    start: int, minute: int, begin: int, length: int, days: list[str]
) -> None:
    end = (begin + length) % 24
    left = quiet_minutes(begin * 60, end * 60, days)

    def quiet(ms: int) -> bool:
        local = dt.datetime.fromtimestamp(ms / 1000, dt.UTC).astimezone(BERLIN)
        inside = begin <= local.hour < end if begin <= end else local.hour >= begin or local.hour < end
        return inside or WEEKDAYS[local.weekday()] in days

    time = start + minute * MINUTE + 250
    if not quiet(time):
        assert quiet_end(time, left, *TABLE) == time
        return
    wanted = next(at for at in range(time - 250 + MINUTE, time + 5 * DAY, MINUTE) if not quiet(at))
    assert quiet_end(time, left, *TABLE) == wanted
