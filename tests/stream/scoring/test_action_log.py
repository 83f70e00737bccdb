"""Actions as files: both forms keep every field."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from stream.messages.action import Action, decode_action
from stream.messages.score import ReasonRef, SegmentRef
from stream.scoring.action_log import write_actions


def test_reasons_keep_their_words_in_both_forms(tmp_path: Path) -> None:
    reason = ReasonRef("cart", 2.0, 0.8, "2 pieces in the cart")
    action = Action(
        "id", "c-1", "rule_holds", "rule", "remind", 0.3, "medium", SegmentRef(0, "New"), 1, 2, 3, "treatment",
        "v1", "p1", "m1", "e-1", reasons=[reason],
    )  # fmt: skip
    write_actions(tmp_path / "actions.parquet", [action])
    (row,) = pq.read_table(tmp_path / "actions.parquet").to_pylist()
    assert row["reasons"] == [
        {"feature": "cart", "value": 2.0, "effect": 0.8, "text": "2 pieces in the cart"}
    ]
    write_actions(tmp_path / "actions.jsonl", [action])
    assert decode_action((tmp_path / "actions.jsonl").read_bytes()) == action
