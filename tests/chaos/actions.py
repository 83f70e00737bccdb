"""The exact account of actions: what their topic holds, against `intent score` on the archived log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from features.log import read_log
from stream.logs.archive import archive
from stream.messages.action import Action, decode_action
from stream.scoring.score_log import score_log
from stream.settings import Settings
from tests.integration.outcome import engine_for, read_topic

_HOUR: Final = 3_600_000

#: Rules of edges and of timers that ask for features alone: what the learner learns meanwhile decides nothing.
POLICY: Final = """
version: chaos
caps: [1 per 1h, 3 per 1d]
quiet: {from: "22:00", to: "06:00", then: wait}
rules:
  - {name: cart left, trigger: cart_abandoned, action: remind}
  - {name: checkout left, trigger: checkout_abandoned, action: help}
  - {name: long gone, trigger: win_back, after: 6h, action: come_back, quiet: drop}
  - {name: over, trigger: session_ended, action: thank, when: {session_events: at least 4}}
  - {name: filled, action: show, when: {cart_items: more than 0}}
"""
CAPS: Final = ((1, _HOUR), (3, 24 * _HOUR))

#: What a newer online model changes in an action that is decided on again because Redis fell back.
_LEARNED: Final = {"purchase_intent": 0.5, "band": "low", "reasons": []}


class ActionAccount(NamedTuple):
    """How many actions there must be, and how many records of the topic repeat one of them."""

    actions: int
    repeated_actions: int


def settle_actions(settings: Settings, folder: Path, *, fell_back: bool) -> ActionAccount:
    """Compare the actions that were published with those of the archived log.

    Parameters
    ----------
    fell_back
        Whether Redis ever started from an older file: then a decision may have been made again, by a newer model.

    Raises
    ------
    AssertionError
        Says what differs.
    """
    archive(settings, folder / "archived.parquet")
    engine = engine_for(settings)
    truth = score_log(
        read_log(folder / "archived.parquet"), engine, decide_by=[engine.rulebook], remember=False
    )
    wanted = {action.action_id: action for action in truth.decided[0].actions}
    found: defaultdict[bytes, dict[str, list[bytes]]] = defaultdict(dict)
    for record in read_topic(settings, settings.actions_topic):
        if record.value is None:
            found.pop(record.key or b"", None)
        else:
            found[record.key or b""].setdefault(decode_action(record.value).action_id, []).append(
                record.value
            )
    published = {name: values for own in found.values() for name, values in own.items()}
    odd = published.keys() ^ wanted.keys()
    assert not odd, f"{len(odd)} actions too many or too few, for example {sorted(odd)[:5]}"
    for name, values in published.items():
        assert fell_back or len(set(values)) == 1, f"action {name} came with other bytes"
        assert {_decision(decode_action(value)) for value in values} == {_decision(wanted[name])}, name
    for own in found.values():
        _assert_caps(decode_action(values[0]) for values in own.values())
    return ActionAccount(len(wanted), sum(map(len, published.values())) - len(wanted))


def _decision(action: Action) -> bytes:
    """Return what of an action hangs on no online model."""
    return msgspec.json.encode(msgspec.structs.replace(action, **_LEARNED))


def _assert_caps(actions: Iterable[Action]) -> None:
    """No cap is exceeded for one customer."""
    moments: defaultdict[str, list[int]] = defaultdict(list)
    for action in actions:
        moments[action.action].append(action.decided_at)
    for count, window in CAPS:
        for name, own in moments.items():
            fullest = max(sum(start <= moment < start + window for moment in own) for start in own)
            assert fullest <= count, f"{fullest} times {name} within {window} ms"
