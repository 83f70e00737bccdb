"""Rule 3 (states exactly once, scores at least once) as a model, small enough to visit every state it can reach.

One partition, two workers, a log of up to four records, one of them an erasure, and a store that may lose its last
writes. What needs an answer from somewhere is an action of its own, and those of the workers, of Redis and of Kafka
interleave in every order. Nobody tells a worker that it has lost the partition: it goes on, as a zombie.
`successors` is the protocol, `violation` says what must hold in every state, and a `Flaw` is a mistake that somebody
could make in the protocol.

Left out: the offset that Kafka keeps, a record that is lost without its states, other partition counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple


class Flaw(Enum):
    """A mistake in the protocol."""

    CACHE_KEPT_AFTER_FALL_BACK = "keep the cache after the store fell back"
    CACHE_KEPT_ON_CLAIM = "keep the cache of an earlier claim"
    CACHE_KEPT_ON_ERASURE = "erase in the store, not in the cache"
    GUARD_WITHOUT_TOKEN = "save without comparing the token"
    GUARD_WITHOUT_OFFSET = "save without comparing the next offset"
    GUARD_BY_EPOCH = "compare the epoch only"
    UNGUARDED_LOAD = "load states without comparing the record"
    SAVE_IN_TWO = "save the states, then the record"
    SAVE_BEFORE_PUBLISHING = "save before publishing"
    UNANSWERED_AGAIN = "treat an unanswered save as failed, and fold its batch again"
    NO_TOPIC_ID = "no check of the topic's id"
    TOPIC_ID_ON_CLAIM_ONLY = "check the topic's id on claim, not when records come"
    NO_LEADER_EPOCH = "no check of the leader epoch"
    LEADER_EPOCH_ON_CLAIM_ONLY = "check the leader epoch on claim, not when records come"
    MERGED_EPOCHS = "merge what was fetched under two leader epochs, and check the last"
    OLD_INCARNATION = "rebuild into the old incarnation"
    SILENCE_FORGOTTEN = "forget silent-until after a crash"
    SILENT_IN_ANY_LOG = "silent up to an offset, whatever log it belongs to"
    SILENT_TO_THE_END = "rebuild silently up to the end of a log that lost events"


ADA, BOB = "ada", "bob"
#: Whose record stands at each offset, and whether it asks to erase its customer.
PLAN: Final = ((ADA, False), (BOB, False), (ADA, True), (ADA, False))

UNKNOWN: Final = -1


class Event(NamedTuple):
    """A record of the log. Topic, leader epoch and offset together name it: no other record has the same."""

    topic: int
    leader_epoch: int
    offset: int


Log = tuple[Event, ...]
Folded = tuple[Event, ...]  # a customer's state: what was folded since the last erasure, in order
States = frozenset[tuple[int, str, Folded]]  # by incarnation and customer; empty ones are absent
NO_STATES: Final[States] = frozenset()


class Record(NamedTuple):
    """The partition's record; see `features.store.partition_record.PartitionRecord`."""

    epoch: int
    token: int
    next_offset: int
    topic: int
    leader_epoch: int
    incarnation: int
    silent_until: int
    silent_epoch: int = UNKNOWN  # of the last event that is passed over


class Version(NamedTuple):
    """What the store held at one time: record and states change together."""

    record: Record | None
    states: States


class Batch(NamedTuple):
    """What a worker works on: the events, and the states that they lead to."""

    events: Log
    states: tuple[tuple[str, Folded], ...]
    published: bool = False
    saved: bool = False


class Worker(NamedTuple):
    """A process: what it holds is gone with a crash. ``record`` is the last one that it knows to be stored."""

    token: int
    record: Record | None = None
    cache: frozenset[tuple[str, Folded]] = frozenset()
    backlog: Log = ()
    batch: Batch | None = None
    in_doubt: bool = False


class Limits(NamedTuple):
    """How often each thing may happen in one history. In a `World`: how often it still may."""

    claims: int = 0
    crashes: int = 0
    fall_backs: int = 0
    lost_answers: int = 0
    set_backs: int = 0
    remakes: int = 0
    rebuilds: int = 0
    appends: int = 0


class World(NamedTuple):
    """A state of everything. ``lost_logs``, ``published``, ``silence`` and ``broken`` are only there to judge by."""

    log: Log
    topic: int
    leader_epoch: int
    history: tuple[Version, ...]  # of the store, oldest first; the last one is stored
    workers: tuple[Worker, ...]
    left: Limits
    names: int = 3  # tokens and incarnations are drawn by lot, so none comes twice
    lost_logs: tuple[Log, ...] = ()
    published: frozenset[Event] = frozenset()
    silence: tuple[tuple[int, Log], ...] = ()  # incarnations, and of what each must be silent
    broken: str = ""

    @property
    def stored(self) -> Version:
        """What the store answers."""
        return self.history[-1]


Step = tuple[str, World]

#: Versions that the store can fall back to, the stored one included.
KEPT_VERSIONS: Final = 4
BACKLOG: Final = 2


def beginning(left: Limits, *, records: int = 2) -> World:
    """Return a world in which nothing has happened yet, with a log of some ``records``."""
    log = tuple(Event(0, 0, offset) for offset in range(records))
    return World(log, 0, 0, (Version(None, NO_STATES),), (Worker(1), Worker(2)), left)


def fold(states: dict[str, Folded], events: Log) -> dict[str, Folded]:
    """Return the states after ``events``: this is what each must be counted in exactly once."""
    states = dict(states)
    for event in events:
        customer, erased = PLAN[event.offset]
        states[customer] = () if erased else (*states.get(customer, ()), event)
    return states


def violation(world: World) -> str:
    """Return which promise the ``world`` breaks, or nothing."""
    record, states = world.stored
    if world.broken or record is None:
        return world.broken
    own = {state[1:] for state in states if state[0] == record.incarnation}
    logs = (
        log[: record.next_offset] for log in (world.log, *world.lost_logs) if len(log) >= record.next_offset
    )
    sources = [log for log in logs if own == {state for state in fold({}, log).items() if state[1]}]
    if not sources:
        return "the states are not the fold of what one log held below the next offset"
    if not any(world.published.issuperset(log) for log in sources):
        return "an event below the next offset was never published"
    return ""


def epoch_end(log: Log, leader_epoch: int) -> int:
    """Return where the events of an epoch, and of those before it, end: Kafka's OffsetForLeaderEpoch."""
    return sum(event.leader_epoch <= leader_epoch for event in log)


def fits(record: Record, world: World, flaw: Flaw | None) -> bool:
    """Return whether the log is still the one that the record's states were made from, as far as a worker can tell."""
    if flaw is not Flaw.NO_TOPIC_ID and record.topic != world.topic:
        return False
    if record.next_offset > len(world.log) or silent_until(record, world, flaw) < min(
        record.next_offset, record.silent_until
    ):
        return False
    return (
        flaw is Flaw.NO_LEADER_EPOCH
        or record.leader_epoch == UNKNOWN
        or epoch_end(world.log, record.leader_epoch) >= record.next_offset
    )


def silent_until(record: Record, world: World, flaw: Flaw | None) -> int:
    """Return up to where a silent record stays silent in the log as it is."""
    if record.next_offset >= record.silent_until or flaw is Flaw.SILENT_IN_ANY_LOG:
        return record.silent_until
    return min(record.silent_until, epoch_end(world.log, record.silent_epoch))


def successors(world: World, flaw: Flaw | None = None) -> Iterator[Step]:
    """Yield each action that is possible now, and what the world is after it."""
    yield from _kafka(world)
    if world.left.fall_backs and len(world.history) > 1:
        left = world.left._replace(fall_backs=world.left.fall_backs - 1)
        yield "Redis loses its last write", world._replace(history=world.history[:-1], left=left)
    for at, worker in enumerate(world.workers):
        steps = _owner_steps if worker.record is not None else _claims
        for action, after in steps(world, at, flaw):
            yield f"worker {at + 1} {action}", after
        if world.left.crashes and worker.record is not None:
            left = world.left._replace(crashes=world.left.crashes - 1)
            after = world._replace(left=left, names=world.names + 1)
            yield f"worker {at + 1} crashes", _with(after, at, Worker(world.names))


def _kafka(world: World) -> Iterator[Step]:
    log, left = world.log, world.left
    if left.appends and len(log) < len(PLAN):
        event = Event(world.topic, world.leader_epoch, len(log))
        yield (
            "an event comes",
            world._replace(log=(*log, event), left=left._replace(appends=left.appends - 1)),
        )
    lost = (*world.lost_logs, log)
    if left.set_backs:
        epoch = world.leader_epoch + 1
        for keep in range(len(log)):
            for length in {keep, len(log)}:
                others = tuple(Event(world.topic, epoch, offset) for offset in range(keep, length))
                after = world._replace(log=log[:keep] + others, leader_epoch=epoch, lost_logs=lost)
                after = after._replace(left=left._replace(set_backs=left.set_backs - 1))
                yield f"Kafka keeps {keep} events, and has {length - keep} others then", after
    if left.remakes:
        topic = world.topic + 1
        events = tuple(Event(topic, 0, offset) for offset in range(len(log)))
        after = world._replace(log=events, topic=topic, leader_epoch=0, lost_logs=lost)
        yield "the topic is made again", after._replace(left=left._replace(remakes=left.remakes - 1))


def _claims(world: World, at: int, flaw: Flaw | None) -> Iterator[Step]:
    """Raise the epoch, write the own token; refuse where the record does not fit, unless told to rebuild."""
    found, left = world.stored.record, world.left
    if found is not None and not fits(found, world, flaw):
        if left.rebuilds:
            yield "rebuilds", _rebuilt(world, at, found, flaw)
        return
    if not left.claims:
        return
    if found is None:
        found = Record(0, 0, 0, world.topic, UNKNOWN, world.names, 0)
        world = world._replace(names=world.names + 1)
    elif flaw is Flaw.SILENCE_FORGOTTEN:
        found = found._replace(silent_until=0)
    found = found._replace(silent_until=silent_until(found, world, flaw))
    claimed = _claimed(world._replace(left=left._replace(claims=left.claims - 1)), at, found, flaw)
    yield f"claims from offset {found.next_offset}", claimed
    if left.lost_answers:
        after = _with(claimed, at, world.workers[at])
        after = after._replace(left=after.left._replace(lost_answers=left.lost_answers - 1))
        yield "claims, and gets no answer", after


def _rebuilt(world: World, at: int, found: Record, flaw: Flaw | None) -> World:
    """Begin a new incarnation: it publishes nothing of the events that the earlier one has published."""
    scored = 0
    if found.topic == world.topic:
        read = epoch_end(world.log, found.leader_epoch)
        scored = (
            min(read, silent_until(found, world, flaw)) if found.next_offset < found.silent_until else read
        )
    until = len(world.log) if flaw is Flaw.SILENT_TO_THE_END else scored
    incarnation = found.incarnation if flaw is Flaw.OLD_INCARNATION else world.names
    after = world._replace(
        names=world.names + 1,
        silence=(*world.silence, (incarnation, world.log[:scored])),
        left=world.left._replace(rebuilds=world.left.rebuilds - 1),
    )
    epoch = world.log[until - 1].leader_epoch if until else UNKNOWN
    begins = Record(found.epoch, 0, 0, world.topic, UNKNOWN, incarnation, until, epoch)
    return _claimed(after, at, begins, flaw)


def _claimed(world: World, at: int, found: Record, flaw: Flaw | None) -> World:
    worker = world.workers[at]
    mine = found._replace(epoch=found.epoch + 1, token=worker.token)
    cache = worker.cache if flaw is Flaw.CACHE_KEPT_ON_CLAIM else frozenset()
    return _with(_stored(world, Version(mine, world.stored.states)), at, Worker(worker.token, mine, cache))


def _owner_steps(world: World, at: int, flaw: Flaw | None) -> Iterator[Step]:
    """Fetch, take, publish, save, and find out what became of the save."""
    worker = world.workers[at]
    record, batch = worker.record, worker.batch
    assert record is not None
    if worker.in_doubt or (batch is None and world.stored.record != record):
        yield "reads the record again", _settled(world, at, flaw)
    if worker.in_doubt:
        return
    position = worker.backlog[-1].offset + 1 if worker.backlog else _position(record, batch)
    if position < len(world.log) and len(worker.backlog) < BACKLOG:
        event = world.log[position]
        yield (
            f"fetches offset {position}",
            _with(world, at, worker._replace(backlog=(*worker.backlog, event))),
        )
    if batch is None:
        if worker.backlog:
            yield _taken(world, at, record, flaw)
        return
    if not batch.published:
        yield "publishes", _published(world, at, record, batch)
    if not batch.saved and (batch.published or flaw is Flaw.SAVE_BEFORE_PUBLISHING):
        yield from _saves(world, at, batch, flaw)


def _position(record: Record, batch: Batch | None) -> int:
    return record.next_offset if batch is None else batch.events[-1].offset + 1


def _taken(world: World, at: int, record: Record, flaw: Flaw | None) -> Step:
    """Look whether the log is still the right one, load the states, fold: all that needs no answer of the broker."""
    worker = world.workers[at]
    first, last = worker.backlog[0], worker.backlog[-1]
    whole = flaw is Flaw.MERGED_EPOCHS or first[:2] == last[:2]
    events = worker.backlog if whole else worker.backlog[:1]
    latest = events[-1]
    other_topic = flaw is not Flaw.TOPIC_ID_ON_CLAIM_ONLY and latest.topic != record.topic
    other_epoch = flaw is not Flaw.LEADER_EPOCH_ON_CLAIM_ONLY and latest.leader_epoch != record.leader_epoch
    doubtful = other_topic or other_epoch
    ends_silence = record.next_offset < record.silent_until <= latest.offset + 1
    shorter = silent_until(record, world, flaw) < record.silent_until
    if (doubtful and not fits(record, world, flaw)) or ((doubtful or ends_silence) and shorter):
        return "finds another log", _with(world, at, Worker(worker.token, cache=worker.cache))
    customers = {PLAN[event.offset][0] for event in events}
    known = {customer: folded for customer, folded in worker.cache if customer in customers}
    if customers - known.keys():
        if world.stored.record != record and flaw is not Flaw.UNGUARDED_LOAD:
            return "loads in vain", _with(world, at, worker._replace(in_doubt=True))
        known = _loaded(world, record, customers) | known
    batch = Batch(events, tuple(sorted(fold(known, events).items())))
    action = f"takes {len(events)} from offset {first.offset}"
    return action, _with(world, at, worker._replace(batch=batch, backlog=worker.backlog[len(events) :]))


def _loaded(world: World, record: Record, customers: set[str]) -> dict[str, Folded]:
    own = {state[1]: state[2] for state in world.stored.states if state[0] == record.incarnation}
    return {customer: own[customer] for customer in customers & own.keys()}


def _published(world: World, at: int, record: Record, batch: Batch) -> World:
    loud = [event for event in batch.events if event.offset >= record.silent_until]
    quiet = [
        event for incarnation, log in world.silence if incarnation == record.incarnation for event in log
    ]
    if any(event in quiet and event in world.published for event in loud):
        world = world._replace(broken="a rebuilding published a score again")
    done = None if batch.saved else batch._replace(published=True)
    after = world._replace(published=world.published.union(loud))
    return _with(after, at, world.workers[at]._replace(batch=done))


def _saves(world: World, at: int, batch: Batch, flaw: Flaw | None) -> Iterator[Step]:
    """Write states and record in one transaction, if the record is still the expected one."""
    worker, left = world.workers[at], world.left
    record = worker.record
    assert record is not None
    doubtful = worker._replace(in_doubt=True)
    unanswered = world._replace(left=left._replace(lost_answers=left.lost_answers - 1))
    if not _passes(world.stored.record, record, flaw):
        yield "saves in vain", _with(world, at, doubtful)
        return
    latest = batch.events[-1]
    new = record._replace(next_offset=latest.offset + 1, leader_epoch=latest.leader_epoch)
    changed = {customer for customer, _ in batch.states}
    kept = {s for s in world.stored.states if s[0] != record.incarnation or s[1] not in changed}
    states = frozenset(kept | {(record.incarnation, *s) for s in batch.states if s[1]})
    cached = {s for s in batch.states if s[1] or flaw is not Flaw.CACHE_KEPT_ON_ERASURE}
    cache = frozenset({s for s in worker.cache if s[0] not in {c for c, _ in cached}} | cached)
    rest = None if batch.published else batch._replace(saved=True)
    done = worker._replace(record=new, cache=cache, batch=rest)
    if world.stored.record is not None and world.stored.record.token != worker.token:
        world = world._replace(broken="a worker saved to a partition that another one had claimed")
    yield f"saves up to offset {new.next_offset}", _with(_stored(world, Version(new, states)), at, done)
    if flaw is Flaw.SAVE_IN_TWO:
        yield "saves the states only", _stored(world, Version(world.stored.record, states))
    if left.lost_answers:
        yield "saves, and gets no answer", _with(_stored(unanswered, Version(new, states)), at, doubtful)
        yield "does not reach the store", _with(unanswered, at, doubtful)


def _passes(stored: Record | None, expected: Record, flaw: Flaw | None) -> bool:
    if stored is None:
        return False
    if flaw is Flaw.GUARD_BY_EPOCH:
        return stored.epoch == expected.epoch
    if flaw is Flaw.GUARD_WITHOUT_TOKEN:
        return stored._replace(token=expected.token) == expected
    if flaw is Flaw.GUARD_WITHOUT_OFFSET:
        return stored[:2] == expected[:2]
    return stored == expected


def _settled(world: World, at: int, flaw: Flaw | None) -> World:
    """Go on from what is stored, or give the partition up where that is another worker's."""
    worker, found = world.workers[at], world.stored.record
    mine = worker.record
    assert mine is not None
    if found is None or found.token != worker.token or found.incarnation != mine.incarnation:
        return _with(world, at, Worker(worker.token, cache=worker.cache))
    cache = worker.cache if flaw is Flaw.CACHE_KEPT_AFTER_FALL_BACK else frozenset()
    batch = None
    if flaw is Flaw.UNANSWERED_AGAIN and worker.batch is not None:
        customers = {customer for customer, _ in worker.batch.states}
        states = fold(_loaded(world, found, customers), worker.batch.events)
        batch = worker.batch._replace(states=tuple(sorted(states.items())))
    return _with(world, at, Worker(worker.token, found, cache, batch=batch))


def _with(world: World, at: int, worker: Worker) -> World:
    one, other = world.workers
    return world._replace(workers=(worker, other) if at == 0 else (one, worker))


def _stored(world: World, version: Version) -> World:
    return world._replace(history=(*world.history, version)[-KEPT_VERSIONS:])


def follow(world: World, *actions: str) -> World:
    """Return the world after some ``actions`` of the protocol without a flaw."""
    for wanted in actions:
        possible = dict(successors(world))
        if wanted not in possible:
            raise ValueError(f"{wanted!r} is not possible here, but: {', '.join(possible)}")
        world = possible[wanted]
    return world
