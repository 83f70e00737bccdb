"""A shop's own program is checked against our annotations: the packages are typed for whoever installs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# In strict mode an `ignore` that is not needed is an error, so that this file also fails where types are lost.
CLIENT = """
from __future__ import annotations

from typing import assert_type

from stream import Action, ActionWatcher, Event, EventEmitter, Score, ScoreWatcher, Settings, load_settings, replay
from stream.emit import DeliveryError

settings = load_settings(kafka="localhost:9092")
assert_type(settings, Settings)


def shop() -> None:
    with EventEmitter(settings) as emitter:
        emitted = emitter.emit(type="view_item", customer_id="c-17", item_id="sku-4", price=19.9)
        assert_type(emitted, Event)
        try:
            emitter.emit(emitted)
        except DeliveryError as error:
            print(error.event_ids)
        assert_type(emitter.erase("c-17"), tuple[int, int])
        emitter.emitt()  # type: ignore[attr-defined]


def marketing() -> list[Score]:
    found: list[Score] = []
    with ScoreWatcher(settings, bands=["high"], limit=1, on_erased=print) as watcher:
        for score in watcher:
            assert_type(score.purchase_intent, float)
            score.purchase_intend  # type: ignore[attr-defined]
            found.append(score)
    return found


def campaign() -> list[str]:
    with ActionWatcher(settings, actions=["win_back"], arms=["treatment", "holdout"], on_erased=print) as watcher:
        for action in watcher:
            assert_type(action, Action)
            action.expire_at  # type: ignore[attr-defined]
        ActionWatcher(settings, arms=["treated"])  # type: ignore[list-item]
        return [action.action_id for action in watcher]


def backlog() -> int:
    return replay(settings, "events.parquet", speed="60x").events
"""


def test_a_client_from_outside_passes_mypy_in_strict_mode(tmp_path: Path) -> None:
    client = tmp_path / "client.py"
    client.write_text(CLIENT)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), client.name],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_all_packages_say_that_they_are_typed() -> None:
    assert all((ROOT / package / "py.typed").is_file() for package in ("features", "offline", "stream"))
