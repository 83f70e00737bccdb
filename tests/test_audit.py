"""What `pip-audit` says is read right: without the index nobody would notice."""

from __future__ import annotations

from typing import Any

import pytest

from tests import audit


def report(*aliases: str) -> dict[str, Any]:
    weak = {"id": "PYSEC-2026-1", "aliases": list(aliases), "fix_versions": ["2.0.1"], "description": "..."}
    return {
        "dependencies": [
            {"name": "good", "version": "1.0", "vulns": []},
            {"name": "weak", "version": "2.0", "vulns": [weak]},
            {"name": "unknown", "skip_reason": "Dependency not found on PyPI"},
        ],
        "fixes": [],
    }


def test_a_weakness_is_told_with_the_version_that_mends_it() -> None:
    assert audit.weaknesses(report()) == ["weak 2.0: PYSEC-2026-1, mended in 2.0.1"]
    assert audit.unseen(report()) == 1


def test_an_accepted_weakness_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(audit.ACCEPTED, "CVE-2026-7", "nothing here reads such files")
    assert audit.weaknesses(report("CVE-2026-7")) == []
