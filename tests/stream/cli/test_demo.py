from __future__ import annotations

from typing import Any

import pytest

from stream.cli.demo import _show
from stream.demo import DemoRun
from tests.stream.clients.test_watch import score


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, share: float | None) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    run = DemoRun([score("ada"), score("bob", holdout=True)], 2, 0, 0, 10.0)
    summary: dict[str, Any] = {"events": 12_000, "auc": 0.86, "best_possible_auc": 0.87, "share": share}
    _show(run, summary, 1800.0)
    return capsys.readouterr().out


def test_the_summary_explains_its_share_and_names_actions_as_scores_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(capsys, monkeypatch, 0.973)
    assert "of the best possible AUC above .5" in " ".join(text.split())
    assert "cross_sell" in text
    assert "held out" in text
    assert "12,000" in text


def test_where_nothing_better_is_known_there_is_no_share_to_explain(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "best possible AUC above" not in shown(capsys, monkeypatch, None)
