"""Write what the stages found: the page, and all figures as JSON."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from features.whole_files import whole_file
from offline.report.html import page
from offline.report.plain import plain
from offline.report.section import Section

REPORT_HTML: Final = "report.html"
REPORT_JSON: Final = "report.json"


class Written(NamedTuple):
    """The files of a report or of one section."""

    html: Path
    json: Path


def write_report(
    directory: str | Path,
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    note: str = "",
    about: Mapping[str, Any] | None = None,
    now: dt.datetime | None = None,
) -> Written:
    """Write a report of several sections.

    Parameters
    ----------
    directory
        Where ``report.html`` and ``report.json`` go; created if it does not exist.
    note
        What a reader must know before anything else.
    about
        What else the JSON should say: input, options.
    now
        When the report was made; by default the current time.
    """
    made = _instant(now)
    text = page(title, sections, subtitle=subtitle, note=note, footer=f"Made by intent report, {made}.")
    figures = {
        "title": title,
        "created_at": made,
        **(about or {}),
        "sections": {section.key: _figures(section) for section in sections},
    }
    folder = Path(directory)
    return Written(_write(folder / REPORT_HTML, text), _write(folder / REPORT_JSON, _json(figures)))


def write_section(directory: str | Path, section: Section, *, subtitle: str = "", note: str = "") -> Written:
    """Write one section as a page of its own, ``<key>.html`` and ``<key>.json``."""
    folder = Path(directory)
    return Written(
        _write(folder / f"{section.key}.html", page(section.title, [section], subtitle=subtitle, note=note)),
        _write(folder / f"{section.key}.json", _json(_figures(section))),
    )


def _figures(section: Section) -> dict[str, Any]:
    return {"title": section.title, "summary": list(section.summary), **section.figures}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(plain(value), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> Path:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def _instant(now: dt.datetime | None) -> str:
    return (now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(timespec="seconds")
