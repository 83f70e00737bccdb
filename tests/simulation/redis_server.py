"""What the learner's store uses of Redis, in memory: keys that expire, transactions, and earlier moments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from types import SimpleNamespace, TracebackType
from typing import Any, Final, NamedTuple, Self

import redis

_MOMENTS: Final = 6


class _Value(NamedTuple):
    raw: bytes
    expires: float | None = None  # virtual seconds


class RedisServer:
    """The server, and a client of it that everybody shares.

    Parameters
    ----------
    chance
        Decides whose request or answer is lost.
    clock
        Returns the virtual time in seconds.
    lose_request, lose_answer
        How often a command never arrives, or is carried out without an answer.
    watch
        Is told of each value that is written, before it is: key, former value, new one.
    """

    connection_pool = SimpleNamespace(connection_kwargs={"host": "simulated", "port": 0})

    def __init__(
        self,
        chance: Random,
        clock: Callable[[], float],
        *,
        lose_request: float,
        lose_answer: float,
        watch: Callable[[str, bytes | None, bytes], None],
    ) -> None:
        self._chance = chance
        self._clock = clock
        self._watch = watch
        self._lose_request, self._lose_answer = lose_request, lose_answer
        self._held: dict[str, _Value] = {}
        self._moments: deque[dict[str, _Value]] = deque([{}], maxlen=_MOMENTS)

    def fall_back(self, moments: int) -> None:
        """Lose the last ``moments`` writes, as far as earlier ones are known."""
        for _ in range(min(moments, len(self._moments) - 1)):
            self._moments.pop()
        self._held = dict(self._moments[-1])

    def wipe(self) -> None:
        """Lose everything."""
        self._held = {}
        self._moments.clear()
        self._moments.append({})

    def peek(self, name: str) -> bytes | None:
        """Return what stands under the key that ends with ``name``, without any fault."""
        return next((self._read(key) for key in self._held if key.endswith(name)), None)

    def ping(self) -> bool:
        """See Redis' PING."""
        self._reach()
        return True

    def close(self) -> None:
        """Do nothing."""

    def get(self, key: str) -> bytes | None:
        """See Redis' GET."""
        self._reach()
        return self._read(key)

    def mget(self, *keys: str) -> list[bytes | None]:
        """See Redis' MGET."""
        self._reach()
        return [self._read(key) for key in keys]

    def set(self, key: str, value: bytes, *, nx: bool, px: int) -> bool | None:
        """See Redis' SET."""
        self._reach()
        if nx and self._read(key) is not None:
            return None
        self.write([("SET", key, value, "PX", px)])
        return True

    def pipeline(self) -> _Pipeline:
        """Return a transaction."""
        return _Pipeline(self)

    def write(self, commands: list[tuple[Any, ...]]) -> None:
        """Carry commands out at once."""
        for name, *arguments in commands:
            if name == "DEL":
                for key in arguments:
                    self._held.pop(key, None)
            else:
                key, value, *limit = arguments
                raw = value.encode() if isinstance(value, str) else value  # as the client does
                self._watch(key, self._read(key), raw)
                self._held[key] = _Value(raw, self._clock() + limit[1] / 1000 if limit else None)
        self._moments.append(dict(self._held))
        if self._chance.random() < self._lose_answer:
            raise redis.TimeoutError("no answer")

    def _reach(self) -> None:
        if self._chance.random() < self._lose_request:
            raise redis.ConnectionError("nobody there")

    def _read(self, key: str) -> bytes | None:
        value = self._held.get(key)
        if value is None or (value.expires is not None and value.expires <= self._clock()):
            return None
        return value.raw


class _Pipeline:
    """A transaction. A call of the store happens at one moment, so nothing that is watched can change within it."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._commands: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def watch(self, key: str) -> None:
        """See Redis' WATCH."""

    def multi(self) -> None:
        """See Redis' MULTI."""

    def get(self, key: str) -> bytes | None:
        """See Redis' GET."""
        return self._server.get(key)

    def execute_command(self, *command: Any) -> None:
        """Add a command."""
        self._commands.append(command)

    def execute(self) -> None:
        """See Redis' EXEC."""
        self._server.write(self._commands)
