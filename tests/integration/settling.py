"""When nothing is left to do: all is scored, and what workers promised when they saved is published."""

from __future__ import annotations

from contextlib import closing

from features.exceptions import StoreError
from features.store.redis_store import RedisStore
from stream.ownership.promised import unpack_outbox
from tests.integration.outcome import read_topic
from tests.integration.workers import PATIENCE, Fleet, Worker, have_all, until


def settled(fleet: Fleet, worker: Worker) -> None:
    """Wait until everything is scored, what workers hand over on the way too, and all actions are published.

    `Fleet.finish` does not wait for these: they are published after the save that counts the events.
    """
    with closing(RedisStore(fleet.settings.redis_url, fleet.settings.redis_prefix)) as store:
        until(
            lambda: worker.check() and _nothing_left(fleet, store), "all has come out", seconds=2 * PATIENCE
        )


def _nothing_left(fleet: Fleet, store: RedisStore) -> bool:
    found = fleet.records()
    try:
        outboxes = [store.pending(number, record).outbox for number, record in found.items()]
    except StoreError:  # another save came in between, or Redis is away
        return False
    ends = fleet.ends(fleet.settings.events_topic)  # last: what is handed over moves them
    if not have_all(found, ends):
        return False
    promised = [unpack_outbox(outbox) for outbox in outboxes if outbox]
    return _published(
        fleet, fleet.settings.events_topic, {value for one in promised for *_, value in one.handed}
    ) and _published(
        fleet, fleet.settings.actions_topic, {value for one in promised for _, value in one.actions if value}
    )


def _published(fleet: Fleet, topic: str, values: set[bytes]) -> bool:
    """Whether a topic holds values; what could not be handed over leaves the outbox after a while."""
    return not values or values <= {record.value for record in read_topic(fleet.settings, topic)}
