"""How often a key may ask: a bucket of tokens that fills at the key's rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from stream.serving.keys import Key

# Seconds of its rate that a key may use at once, after a pause.
_BURST_SECONDS: Final = 1.0
# A batch that is larger than the burst waits until the bucket is full, and then goes.
_LEAST_BURST: Final = 10.0


class TokenBucket:
    """Requests that may come at a rate, and some at once.

    Parameters
    ----------
    rate
        Tokens a second.
    clock
        Returns seconds since any fixed moment.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._size = max(rate * _BURST_SECONDS, _LEAST_BURST)
        self._clock = clock
        self._left = self._size
        self._at = clock()

    def take(self, tokens: float) -> float:
        """Take tokens and return 0, or take none and return the seconds until they are there."""
        now = self._clock()
        self._left = min(self._size, self._left + (now - self._at) * self._rate)
        self._at = now
        needed = min(tokens, self._size)
        if self._left >= needed:
            self._left -= tokens  # may go below 0, which the next requests pay
            return 0.0
        return (needed - self._left) / self._rate


class RateLimits:
    """The buckets of all keys, of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, float], TokenBucket] = {}

    def take(self, key: Key, tokens: float = 1.0) -> int:
        """Take tokens of a key and return 0, or the whole seconds to wait."""
        name = key.id, key.rate
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = TokenBucket(key.rate, self._clock)
        return math.ceil(bucket.take(tokens))

    def keep(self, keys: tuple[Key, ...]) -> None:
        """Forget the buckets of keys that are gone."""
        known = {(key.id, key.rate) for key in keys}
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in known}
