"""The old name of `stream.clients.watch`: in new code write ``from stream import ScoreWatcher``."""

from stream.clients.watch import ScoreWatcher

__all__ = ["ScoreWatcher"]
