"""The learner's snapshots in Redis, and the lease that admits one learner at a time.

All keys carry the hash tag ``{prefix.learner}``:

============  =============================================================================================
``record``    epoch and token of the learner that may write; every write is void unless it is still the same
``lease``     the token, for as long as its learner renews it; a learner that finds no lease may take over
``snapshot``  everything that a learner needs to continue, its progress in both topics inside
``scorers``   the few kilobytes of it that scorers need
``version``   names what ``scorers`` holds; scorers look at it every second
``quality``   the live figures, JSON
``former``    the snapshots of the two bundles that were learned last before this one, to go back to
``advice``    what scorers need of them
============  =============================================================================================
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec

from features.decoding import Undecodable, decoded
from features.exceptions import SchemaMismatch
from features.store.partition_record import TOKEN_BYTES
from features.store.redis_client import connect, server_of, store_errors
from stream.learning.labels.cursors import Place, Progress

_RECORD_VERSION: Final = 1
_RECORD: Final = struct.Struct(f"<BQ{TOKEN_BYTES}s")

# Bundles whose snapshots are kept: two besides the one that is learned, which is among them until it is saved anew.
_MOST_FORMER: Final = 3


class LeaseLost(Exception):
    """Another learner has taken over, or Redis has lost the lease."""


class Lease(NamedTuple):
    """The right to write; ``epoch`` rises by one with every learner."""

    epoch: int
    token: bytes

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return _RECORD.pack(_RECORD_VERSION, *self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Lease:
        """Return what `to_bytes` wrote."""
        if len(raw) != _RECORD.size or raw[0] != _RECORD_VERSION:
            raise SchemaMismatch(
                f"the learner's record has {len(raw)} bytes and version {raw[:1].hex() or 'none'}, ours "
                f"{_RECORD.size} and {_RECORD_VERSION:02x}: set another INTENT_REDIS_PREFIX"
            )
        return cls(*_RECORD.unpack(raw)[1:])


class Saved(NamedTuple):
    """What a learner saves at once."""

    snapshot: bytes
    scorers: bytes
    version: str
    quality: bytes


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What was saved last for a bundle that is not learned any more."""

    bundle: str
    content: bytes


_encode_kept = msgspec.msgpack.Encoder().encode
_decode_kept = msgspec.msgpack.Decoder(list[_Kept]).decode


class SnapshotStore:
    """Snapshots, the lease and live figures. Synchronous, and safe to call from several threads.

    Every method raises `StoreUnavailable` where Redis does not answer. One that writes raises `StoreConflict` where its
    transaction was void or its answer was lost: whoever writes next finds out whose the record is.

    Parameters
    ----------
    url
        Where Redis is; see `features.store.redis_client.connect`.
    prefix
        What the keys start with, as for the customers' states.
    """

    def __init__(self, url: str, prefix: str = "intent") -> None:
        self._redis = connect(url)
        self._tag = f"{{{prefix}.learner}}"

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless Redis answers."""
        with store_errors(self._redis):
            self._redis.ping()

    def acquire(self, seconds: float) -> Lease | None:
        """Take the lease for so long; return ``None`` where another learner has it."""
        token = secrets.token_bytes(TOKEN_BYTES)
        with store_errors(self._redis):
            if not self._redis.set(self._key("lease"), token, nx=True, px=round(seconds * 1000)):
                return None
            found = self._record()
            lease = Lease(1 if found is None else found.epoch + 1, token)
            try:
                self._commit(found, [("SET", self._key("record"), lease.to_bytes())])
            except LeaseLost:
                return None  # another one came first
        return lease

    def renew(self, lease: Lease, seconds: float) -> None:
        """Keep the lease for so long.

        Raises
        ------
        LeaseLost
            Another learner has taken over.
        """
        with store_errors(self._redis):
            self._commit(lease, [self._held(lease, seconds)])

    def release(self, lease: Lease) -> None:
        """Let another learner take over at once."""
        with store_errors(self._redis):
            self._commit(lease, [("DEL", self._key("lease"))])

    def save(self, lease: Lease, saved: Saved, seconds: float) -> None:
        """Write a snapshot and keep the lease, or do nothing.

        Raises
        ------
        LeaseLost
            Another learner has taken over.
        """
        commands = [("SET", self._key(name), value) for name, value in saved._asdict().items()]
        with store_errors(self._redis):
            self._commit(lease, [*commands, self._held(lease, seconds)])

    def forget(self, lease: Lease) -> None:
        """Delete the snapshot; scorers go on with the network alone."""
        with store_errors(self._redis):
            names = (*Saved._fields, "former", "advice")
            self._commit(lease, [("DEL", *(self._key(name) for name in names))])

    def keep(self, lease: Lease, bundle: str) -> None:
        """Keep what is saved now, under its bundle's name: another bundle is learned next.

        Raises
        ------
        LeaseLost
            Another learner has taken over.
        """
        pairs = (("former", "snapshot"), ("advice", "scorers"))
        with store_errors(self._redis):
            commands: list[tuple[Any, ...]] = []
            for name, source in pairs:
                content = self._get(source)
                if content is not None:
                    others = [kept for kept in self._kept(name) if kept.bundle != bundle]
                    kept = [*others, _Kept(bundle, content)][-_MOST_FORMER:]
                    commands.append(("SET", self._key(name), _encode_kept(kept)))
            self._commit(lease, commands)

    def former(self, bundle: str) -> bytes | None:
        """Return the snapshot that was kept of a bundle."""
        return next((kept.content for kept in self._kept("former") if kept.bundle == bundle), None)

    def former_for_scorers(self, bundle: str) -> bytes | None:
        """Return what scorers need of the snapshot that was kept of a bundle."""
        return next((kept.content for kept in self._kept("advice") if kept.bundle == bundle), None)

    def snapshot(self) -> bytes | None:
        """Return the newest snapshot."""
        return self._get("snapshot")

    def version(self) -> str:
        """Return the name of what scorers should use, empty before the first snapshot."""
        return _text_of(self._get("version"))

    def for_scorers(self) -> tuple[str, bytes | None]:
        """Return what scorers should use, and its name."""
        with store_errors(self._redis):
            version, snapshot = cast(
                "list[bytes | None]", self._redis.mget(self._key("version"), self._key("scorers"))
            )
        return _text_of(version), snapshot

    def quality(self) -> bytes | None:
        """Return the live figures."""
        return self._get("quality")

    def _key(self, name: str) -> str:
        return f"{self._tag}:{name}"

    def _get(self, name: str) -> bytes | None:
        with store_errors(self._redis):
            return cast("bytes | None", self._redis.get(self._key(name)))

    def _kept(self, name: str) -> list[_Kept]:
        raw = self._get(name)
        try:
            return [] if raw is None else decoded(_decode_kept, raw)
        except Undecodable:  # nothing depends on it: a bundle begins untrained instead
            return []

    def _record(self) -> Lease | None:
        raw = cast("bytes | None", self._redis.get(self._key("record")))
        return None if raw is None else Lease.from_bytes(raw)

    def _held(self, lease: Lease, seconds: float) -> tuple[Any, ...]:
        return "SET", self._key("lease"), lease.token, "PX", round(seconds * 1000)

    def _commit(self, expected: Lease | None, commands: Sequence[tuple[Any, ...]]) -> None:
        """Run ``commands`` in a transaction that is void unless the record is ``expected``."""
        pipe: Any
        with server_of(self._redis, self._key("record")).pipeline() as pipe:
            pipe.watch(self._key("record"))
            stored = cast("bytes | None", pipe.get(self._key("record")))
            if stored != (None if expected is None else expected.to_bytes()):
                raise LeaseLost(_text(stored))
            pipe.multi()
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute()


def progress_of(meta: object) -> Progress:
    """Return the progress that a snapshot's meta holds."""
    try:
        return decoded(_progress, meta)
    except Undecodable as error:
        raise SchemaMismatch(
            f"the learner's snapshot has no usable progress ({error}): run `intent learner --start-over`"
        ) from None


def passed_of(meta: object) -> dict[str, Place]:
    """Return where the examples of other bundles begin that a snapshot's meta holds, by bundle."""
    try:
        return decoded(_places, meta)
    except Undecodable as error:
        raise SchemaMismatch(
            f"the learner's snapshot has unusable progress ({error}): run `intent learner --start-over`"
        ) from None


def _progress(meta: object) -> Progress:
    return msgspec.convert(meta, Progress)


def _places(meta: object) -> dict[str, Place]:
    return msgspec.convert(meta, dict[str, Place])


def _text_of(raw: bytes | None) -> str:
    """Return a name; one that is no text is another one than all that a learner gives."""
    return (raw or b"").decode(errors="backslashreplace")


def _text(stored: bytes | None) -> str:
    if stored is None:
        return "Redis has lost the learner's record"
    found = Lease.from_bytes(stored)
    return f"learner {found.token.hex()[:8]}, epoch {found.epoch}, has taken over"
