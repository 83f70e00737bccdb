from __future__ import annotations

from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from features.exceptions import StoreConflict, StoreUnavailable
from features.store.redis_client import connect, store_errors

PASSWORD = "correct-horse"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (f"redis://:{PASSWORD}@cache:7000/2", "cache:7000"),
        (f"redis://:{PASSWORD}@[::1]", "[::1]:6379"),
        (f"rediss://shop:{PASSWORD}@cache/1", "cache:6379"),
        (f"unix://:{PASSWORD}@/run/redis.sock", "/run/redis.sock"),
        (f"redis+sentinel://:{PASSWORD}@a,b:1/mymaster", "mymaster (by the sentinels a:26379, b:1)"),
    ],
)
def test_an_error_names_the_address_and_never_the_password(url: str, address: str) -> None:
    with pytest.raises(StoreUnavailable) as refused, store_errors(connect(url)):
        raise redis.ConnectionError("refused")
    assert f"Redis at {address} failed (refused): start it, or set INTENT_REDIS" == str(refused.value)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (redis.OutOfMemoryError("command not allowed"), "raise its maxmemory"),
        (redis.AuthenticationError("invalid"), "password in INTENT_REDIS"),
        (NoPermissionError("no"), "ACL"),
        (redis.ReadOnlyError("replica"), "set INTENT_REDIS to the primary"),
        (redis.BusyLoadingError("loading"), "wait"),
        (redis.TimeoutError("Timeout reading"), "hangs"),
        (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "disk"),
        (redis.ResponseError("ERR something"), "look into its log"),
    ],
)
def test_a_server_that_refuses_is_not_to_be_started(error: Exception, advice: str) -> None:
    with pytest.raises(StoreUnavailable, match=advice) as refused, store_errors(connect("redis://cache")):
        raise error
    assert "start it" not in str(refused.value)


def test_a_void_transaction_is_a_conflict() -> None:
    with (
        pytest.raises(StoreConflict, match=r"Redis at cache:6379 .*\(changed\)"),
        store_errors(connect("redis://cache")),
    ):
        raise redis.WatchError("changed")


def test_the_url_encrypts_and_names_whom_to_trust(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    url = f"rediss://cache:6379/0?ssl_ca_certs={authority}"
    with pytest.raises(StoreUnavailable, match=f"there is no {authority}, .* as ssl_ca_certs"):
        connect(url)
    authority.touch()
    client = connect(url)
    assert isinstance(client, redis.Redis)
    options = client.connection_pool.connection_kwargs
    connection = connect("rediss://cache:6379/0").connection_pool.connection_class
    assert options["ssl_ca_certs"] == str(authority)
    assert connection is redis.SSLConnection


@pytest.mark.parametrize("url", [f"http://:{PASSWORD}@cache", f"redis://cache:{PASSWORD}"])
def test_a_url_that_cannot_be_read_is_one_line_without_its_password(url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"write redis://.*\(INTENT_REDIS\)") as refused:
        connect(url)
    assert PASSWORD not in str(refused.value)
