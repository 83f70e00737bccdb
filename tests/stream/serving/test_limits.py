from __future__ import annotations

from stream.serving.keys import Key
from stream.serving.limits import RateLimits, TokenBucket


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_kept_and_a_pause_allows_a_second_of_it_at_once() -> None:
    clock = Clock()
    bucket = TokenBucket(20.0, clock)
    assert [bucket.take(1) for _ in range(20)] == [0.0] * 20
    assert bucket.take(1) == 0.05
    clock.now = 0.5
    assert [bucket.take(1) for _ in range(10)] == [0.0] * 10
    assert bucket.take(1) > 0
    clock.now = 100.0
    assert sum(bucket.take(1) == 0 for _ in range(50)) == 20


def test_a_batch_larger_than_the_bucket_goes_once_it_is_full_and_is_paid_later() -> None:
    clock = Clock()
    bucket = TokenBucket(10.0, clock)
    assert bucket.take(30) == 0
    assert bucket.take(1) == 2.1
    clock.now = 2.2
    assert bucket.take(1) == 0


def test_every_key_has_a_bucket_of_its_own_and_seconds_to_wait_are_whole() -> None:
    limits = RateLimits(Clock())
    one, other = Key("1", "one", ("read",), "", 0.5), Key("2", "other", ("read",), "", 0.5)
    assert [limits.take(one) for _ in range(11)] == [0] * 10 + [2]
    assert limits.take(other) == 0
