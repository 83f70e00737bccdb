"""The job in Quix Streams: a stateful function per event, states in RocksDB, kept in a changelog topic."""

from __future__ import annotations

from typing import Any

from quixstreams import Application
from quixstreams import State as Store

from benchmarks.peers.job import Network, Task, fold


def main(task: Task) -> None:
    """Run until the process is ended."""
    app = Application(
        broker_address=task.kafka,
        consumer_group=f"bench-quix-{task.run}",
        auto_offset_reset="earliest",
        state_dir=task.folder / "quix",
        loglevel="WARNING",
    )
    network = Network(task.bundle)

    def score(event: dict[str, Any], store: Store) -> dict[str, Any]:
        state = store.get("features", {})
        fold(state, event)
        store.set("features", state)
        return network.score(state, event)

    events = app.topic(task.source, key_deserializer="str", value_deserializer="json")
    scores = app.topic(task.sink, key_serializer="str", value_serializer="json")
    app.dataframe(events).apply(score, stateful=True).to_topic(scores)
    app.run()


if __name__ == "__main__":
    main(Task.from_environment())
