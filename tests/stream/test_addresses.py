"""Addresses in settings: what is wrong is said in one line, before anything connects, and never with a password."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import redis
from aiokafka.client import AIOKafkaClient

from features.durations import parse_duration
from features.exceptions import InvalidDuration
from features.store.redis_client import connect
from stream.addresses import is_listening, masked_url
from stream.exceptions import BrokerUnavailable, SettingsError
from stream.kafka.broker import broker_errors
from stream.settings import load_settings

PASSWORD = "hush"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"redis://:{PASSWORD}/ss=@h:6379/0", "write it as %2F"),
        (f"redis://u:{PASSWORD}#cret@h", "write it as %23"),
        (f"redis://u:{PASSWORD}?x@h", "write it as %3F"),
        ("localhost:6379", "no URL of Redis"),
        ("http://localhost:6379", "no URL of Redis"),
        ("", "no URL of Redis"),
        ("redis://", "names no host"),
        ("redis://h/abc", "database is no number"),
        ("redis://h:abc/0", "its port is no number"),
        ("redis://h:70000/0", "its port is no number"),
        ("unix://", "no path of a socket"),
        (f"rediss://u:{PASSWORD}@h:x", "its port is no number"),
        (f"redis://shop:{PASSWORD}", "its port is no number"),
        (f"{PASSWORD}@h:6379", "no URL of Redis"),
        (f"redis://h?pass={PASSWORD}", "a parameter that is unknown"),
        (f"redis://h?password=x&{PASSWORD}", "an '&' in one is %26"),
        (f"redis://h?password=x&{PASSWORD}=1", "a parameter that is unknown"),
        (f"redis://h?auth={PASSWORD}", "a parameter that is unknown"),
        (f"redis://h?password=a@{PASSWORD}", "write it as %40"),
        (f"redis://u:12345/{PASSWORD}", "its database is no number"),
        (f"redis://u:{PASSWORD}?db=1/{PASSWORD}", "its database is no number"),
        (f"redis://h:6379/0;password={PASSWORD}", "its database is no number"),
        (f"redis://h:6379/0 u:{PASSWORD}", "its database is no number"),
        (f"redis://u:{PASSWORD}[x@h", "write it as %5B"),
        (f"rediss://u:{PASSWORD}]x@h", "write it as %5D"),
        (f"redis://u:{PASSWORD}\t\x1b@h", "a letter that no URL can have"),
        (f"redis://u:{PASSWORD}\udcff@h", "a letter that no URL can have"),
        (f"redis+cluster://u:{PASSWORD}@a:1,u:{PASSWORD}@b:2", "stands once, before the first host"),
        ("redis://h?db=first", "its database is no number"),
        ("redis://a,b", "names no host"),
        ("redis+sentinel://a,b", "by which name the sentinels know the primary"),
        ("redis+sentinel://a,b:x/shop", "its port is no number"),
        ("redis+sentinel://a/shop/first", "its database is no number"),
        ("redis+cluster://a,,b", "names no host"),
        ("redis+cluster://a/3", "no database but 0"),
    ],
)
def test_a_url_of_redis_that_cannot_be_used_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    monkeypatch.setenv("INTENT_REDIS", url)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value).startswith("INTENT_REDIS = ")
    assert why in str(error.value)
    assert PASSWORD not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h", "redis://h:6379/", "redis://h/3", "rediss://u:p%2Fw@h:6380/1", "redis://[::1]:6379/0",
        "unix:///run/redis.sock", "unix:///run/redis.sock?db=2", "redis://:p@ss@h:6379/0",
        "rediss+sentinel://u:p@a,b:26380/shop/3?sentinel_password=q",
    ],
)  # fmt: skip
def test_a_url_of_redis_that_can_be_used_makes_a_client(url: str) -> None:
    settings = load_settings(redis=url)
    with connect(settings.redis_url) as client:
        made = client.connection_pool.make_connection()
        assert isinstance(made, redis.connection.AbstractConnection)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:{}@h", "redis://:***@h"),
        ("redis://shop:{}@h:6379/0", "redis://shop:***@h:6379/0"),
        ("redis://:{0}@{0}@h:6379/0", "redis://:***@h:6379/0"),
        ("redis://shop:pa/ss#{}?x@h/0", "redis://***"),
        ("redis://shop:{}/ss=@h:6379/0", "redis://shop:***@h:6379/0"),
        ("redis://shop:{}://x@h:6379/0", "redis://shop:***@h:6379/0"),
        ("redis://{}@h:6379/0", "redis://***@h:6379/0"),
        ("redis://pa/{}:x@h", "redis://***@h"),
        ("redis://shop:{}", "redis://shop:***"),
        ("redis://:{}", "redis://:***"),
        ("shop:{}@h:6379", "shop:***@h:6379"),
        ("{}@h", "***@h"),
        ("rediss://h?ssl_password={}", "rediss://h?ssl_password=***"),
        ("rediss://h/1?db=2&PASSWORD={}&client_name=x", "rediss://h/1?db=2&PASSWORD=***&client_name=x"),
        ("rediss://h?p%61ssword={}", "rediss://h?p%61ssword=***"),
        ("redis://h/0?password=a&{}", "redis://h/0?password=***&***"),
        ("redis://h/0?password=a&{}=x", "redis://h/0?password=***&***"),
        ("redis://u:1/{}", "redis://u:1/***"),
        ("redis://u:S?db=1/{}", "redis://u:***?***"),
        ("redis://h:6379/0;password={}", "redis://h:6379/***"),
        ("redis://h:6379/0 u:{}", "redis://h:6379/***"),
        ("redis://h?auth={}", "redis://h?***"),
        ("http://u:p@h/token?client_secret=a&k={}", "http://u:***@h/token?***&***"),
        ("redis://h?{}", "redis://h?***"),
        ("redis://h?password=a@{}", "redis://***"),
        ("redis://h#{}", "redis://***"),
        ("redis://u:x#{}@h", "redis://u:***@h"),
        ("unix://:{}@/run/redis.sock?db=2", "unix://:***@/run/redis.sock?db=2"),
        ("redis+sentinel://u:{0}@a,b:1/shop/0?sentinel_password={0}",
         "redis+sentinel://u:***@a,b:1/shop/0?sentinel_password=***"),
        ("redis+cluster://u:{}@[::1]:7000,b:7001", "redis+cluster://u:***@[::1]:7000,b:7001"),
        ("redis+cluster://a,shop:{}", "redis+cluster://a,shop:***"),
    ],
)  # fmt: skip
def test_no_part_of_a_password_is_shown(url: str, shown: str) -> None:
    assert masked_url(url.format(PASSWORD)) == shown


@pytest.mark.parametrize(
    "brokers", ["localhost:abc", "http://h:9092/", "h:9092/", "", "a:1,,b:2", "h:0", "h:99999"]
)
def test_brokers_that_are_written_wrongly_are_named(brokers: str) -> None:
    with pytest.raises(SettingsError, match="INTENT_KAFKA = .* is no broker: write HOST:PORT"):
        load_settings(kafka=brokers)


@pytest.mark.parametrize("brokers", ["kafka", "kafka:9092", "a:9092, b:9093", "[::1]:9092", "10.0.0.1:9092"])
def test_brokers_are_taken_as_they_are_written(brokers: str) -> None:
    assert load_settings(kafka=brokers).kafka == brokers


def test_a_zone_is_a_name_of_the_database() -> None:
    assert load_settings(timezone="Europe/Berlin").timezone == "Europe/Berlin"
    with pytest.raises(SettingsError, match="INTENT_TIMEZONE = 'CEST': unknown time zone: use an IANA name"):
        load_settings(timezone="CEST")


def test_a_currency_is_in_capitals() -> None:
    assert load_settings(currency="eur").currency == "EUR"


@pytest.mark.parametrize("written", ["INTENT_GROUP=a\n".encode("utf-16"), b"INTENT_GROUP=caf\xe9\n"])
def test_a_file_of_settings_in_another_encoding_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_bytes(written)
    with pytest.raises(SettingsError, match=r"\.env is not written in UTF-8: save it as UTF-8"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("999999999d", "at most 36500d"),
        ("P1M", "months and years differ in length"),
        ("P1Y", "months and years differ in length"),
        ("P1Y2M3DT4H", "months and years differ in length"),
    ],
)
def test_durations_that_cannot_be_meant_are_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidDuration, match=why):
        parse_duration(text)
    assert parse_duration("PT5M").total_seconds() == 300


def test_whether_anybody_listens_is_told_of_any_of_the_brokers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_listening(f"127.0.0.1:{port}")
        assert is_listening(f"127.0.0.1:1, localhost:{port}")
    assert not is_listening(f"127.0.0.1:{port}")


def test_brokers_that_are_silent_are_slow_where_somebody_listens_and_away_where_nobody_does() -> None:
    slow, away = (str(BrokerUnavailable.silent("kafka:9092", listening=one)) for one in (True, False))
    assert slow.startswith(
        "Kafka at kafka:9092 did not answer within 10 s: if it is starting or busy, try again"
    )
    assert away.startswith("no Kafka broker answers at kafka:9092")


def test_a_broker_that_takes_connections_and_says_nothing_is_called_slow() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = f"127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(BrokerUnavailable, match="did not answer within"),
            broker_errors(broker),
        ):
            asyncio.run(_asked_for_long(broker))


async def _asked_for_long(broker: str) -> None:
    client = AIOKafkaClient(bootstrap_servers=broker)
    try:
        async with asyncio.timeout(0.2):
            await client.bootstrap()
    finally:
        await client.close()
