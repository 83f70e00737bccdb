"""Everything that runs while events flow, and the front door for programs that emit events or read scores and actions.

::

    from stream import Action, ActionWatcher, Event, EventEmitter, Score, ScoreWatcher, Settings, load_settings, replay

The names are imported when they are first used. All but `replay` need only the base install: neither Faust nor numba,
ONNX Runtime or pyarrow. `replay` needs the extra ``worker``.

The way of one event, in the order in which the files are best read:

1. ``clients/emit.py`` checks an event and writes it to the topic ``intent.events``, on its customer's partition.
2. ``kafka/transport.py`` hands whole batches of records to Faust instead of single messages; ``worker.py`` puts all
   parts together.
3. ``ownership/owner.py`` claims a partition for this worker. ``ownership/rounds.py`` takes each batch through the
   steps: load the states, fold and score, publish and wait for the acknowledgement, save, mark.
4. ``scoring/intake.py`` decodes the batch and rejects what is wrong, ``scoring/scorer.py`` folds it into the states
   (`features.fold`), and ``scoring/engine.py`` runs the network. A rejected record becomes a
   ``messages/dead_letter.py``.
5. ``messages/score.py`` is the answer. ``scoring/encoding.py`` and ``scoring/publisher.py`` write it to
   ``intent.scores``.
6. ``clients/watch.py`` reads it, and ``clients/actions.py`` what the policy made of it (``messages/action.py``).

The way of one example, from which the system learns:

1. ``scoring/recorder.py`` writes the features as they were scored, and what customers did, as the records that
   ``learning/records/`` describes.
2. ``learner.py`` reads both. ``learning/labels/`` holds an example back until its horizon has passed, and labels it.
3. ``learning/judging/`` compares the published score with the label, then ``learning/model/`` learns from it.
4. ``learning/snapshot_store.py`` publishes the model, and ``learning/newest_advisor.py`` brings it to the scorer.

Beside that way: ``logs/`` moves events between topics and files, ``services/`` starts Kafka and Redis for development,
``health.py`` answers probes, ``cli/`` is the command ``intent``, ``demo.py`` its command ``demo``. ``emit/`` and
``watch/`` are old names of the modules in ``clients/``.

What is known about a customer, and how an event changes it, is in `features`, which knows neither Kafka nor Faust.
What runs on a log or a table is in `offline`. `stream` meets `offline` only in the bundle, and in the command line.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from features.events import Event
    from stream.clients.actions import ActionWatcher
    from stream.clients.emit import EventEmitter
    from stream.clients.watch import ScoreWatcher
    from stream.logs.replay import replay
    from stream.messages.action import Action
    from stream.messages.score import Score
    from stream.settings import Settings, load_settings

__all__ = [
    "Action",
    "ActionWatcher",
    "Event",
    "EventEmitter",
    "Score",
    "ScoreWatcher",
    "Settings",
    "load_settings",
    "replay",
]

_MODULES: Final = {
    "Action": "stream.messages.action",
    "ActionWatcher": "stream.clients.actions",
    "Event": "features.events",
    "EventEmitter": "stream.clients.emit",
    "Score": "stream.messages.score",
    "ScoreWatcher": "stream.clients.watch",
    "Settings": "stream.settings",
    "load_settings": "stream.settings",
    "replay": "stream.logs.replay",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(importlib.import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        from features.extras import MissingExtra, extra_of

        if error.name is None or extra_of(error.name) is None:
            raise
        raise MissingExtra(error.name) from None
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
