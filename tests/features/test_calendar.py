from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from features import calendar
from features.bundle import Bundle
from features.calendar import Zone, next_day, timezone_database, zone
from features.state import DAY_MS, HOUR_MS, MINUTE_MS
from tests.bundles import save_bundle

#: Zones whose clocks change at or around local midnight, some of each continent, and some that have skipped a day.
ZONES = (
    "America/Santiago",
    "America/Asuncion",
    "America/Sao_Paulo",
    "America/Campo_Grande",
    "America/Havana",
    "America/St_Johns",
    "America/New_York",
    "America/Scoresbysund",
    "America/Bogota",
    "Atlantic/Azores",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Chisinau",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Windhoek",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Damascus",
    "Asia/Gaza",
    "Asia/Tehran",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Fakaofo",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "Pacific/Easter",
)
_STEP = 15 * MINUTE_MS
_SPAN = np.arange(-30 * HOUR_MS, 54 * HOUR_MS, _STEP)


def _first_of_next_date(dates: np.ndarray) -> np.ndarray:
    """Return for each position the first later one with a later date (the last position where there is none)."""
    later = dates[None, :] > dates[:, None]
    later &= np.arange(len(dates))[None, :] > np.arange(len(dates))[:, None]
    return np.where(later.any(1), later.argmax(1), len(dates) - 1)


@pytest.mark.parametrize("name", ZONES)
def test_the_next_day_agrees_with_the_time_zone_database_around_every_change(name: str) -> None:
    info, table = ZoneInfo(name), zone(name)
    known = table.changes_ms // 1000
    first, last = (dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp() for year in (1990, 2036))
    changes = table.changes_ms[(known >= first) & (known < last)]
    for change in changes.tolist():
        times = change // _STEP * _STEP + _SPAN
        dates = np.array([dt.datetime.fromtimestamp(t // 1000, info).toordinal() for t in times.tolist()])
        wanted = times[_first_of_next_date(dates)]
        for at in range(0, len(times) - 54 * 4, 3):
            found = next_day(int(times[at]), *table)
            assert found == wanted[at], (name, dt.datetime.fromtimestamp(int(times[at]) / 1000, info))


def test_a_day_that_does_not_exist_is_skipped() -> None:
    apia = ZoneInfo("Pacific/Apia")
    before = dt.datetime(2011, 12, 29, 12, tzinfo=apia)
    found = next_day(int(before.timestamp() * 1000), *zone("Pacific/Apia"))
    assert dt.datetime.fromtimestamp(found / 1000, apia) == dt.datetime(2011, 12, 31, tzinfo=apia)


def test_before_and_after_the_table_the_nearest_offset_holds() -> None:
    table = Zone(np.array([10 * DAY_MS]), np.array([-3 * HOUR_MS]))
    assert next_day(0, *table) == 3 * HOUR_MS
    assert next_day(20 * DAY_MS + 4 * HOUR_MS, *table) == 21 * DAY_MS + 3 * HOUR_MS


def test_the_database_is_the_system_s_where_it_has_the_zone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "Here").write_bytes(b"")
    monkeypatch.setattr(calendar, "TZPATH", (str(tmp_path),))
    assert timezone_database("Here") == "system"
    (tmp_path / "tzdata.zi").write_text("# version 2031a\n# redo\n")
    assert timezone_database("Here") == "system 2031a"
    monkeypatch.setattr(calendar, "version", lambda _: "2031.1")
    assert timezone_database("There") == "tzdata 2031.1"


@pytest.mark.parametrize(("trained", "warned"), [(None, False), ("same", False), ("tzdata 1999.1", True)])
def test_another_database_than_that_of_training_is_a_warning_with_both_names(
    trained: str | None, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = timezone_database("Europe/Berlin")
    folder = save_bundle(
        tmp_path, timezone="Europe/Berlin", timezone_database=here if trained == "same" else trained
    )
    with caplog.at_level(logging.WARNING):
        assert Bundle.load(folder).manifest.timezone == "Europe/Berlin"
    assert (f"{trained}, this program has {here}" in caplog.text) == warned
    assert bool(caplog.records) == warned
