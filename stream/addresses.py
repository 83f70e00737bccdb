"""Addresses of Kafka and Redis as people write them: checked before anything connects, shown without passwords."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_PARAMETER: Final = re.compile(r"(?<=[?&])([^=&]*password[^=&]*)=[^&]*", re.IGNORECASE)
_BROKER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_ESCAPES: Final = {"/": "%2F", "#": "%23", "?": "%3F", " ": "%20"}
_MOST_PORTS: Final = 65_535
_KAFKA_PORT: Final = 9092
# Bounds a look at one address, after nobody has answered for seconds.
_LISTEN_SECONDS: Final = 1.0


def masked_url(url: str) -> str:
    """Return a URL without its password, whatever characters that has.

    Examples
    --------
    >>> masked_url("redis://shop:pa/ss@word@cache:6379/0"), masked_url("rediss://cache?ssl_password=hush&db=1")
    ('redis://shop:***@cache:6379/0', 'rediss://cache?ssl_password=***&db=1')
    """
    scheme, divider, rest = url.rpartition("://") if url.count("://") == 1 else ("", "", url)
    head, at, tail = rest.rpartition("@")
    user, colon, _ = head.partition(":")
    return _PARAMETER.sub(r"\1=***", f"{scheme}{divider}{user}{colon}{'***' if colon else ''}{at}{tail}")


def check_redis_url(url: str) -> str:
    """Return a URL of Redis as it is.

    Raises
    ------
    ValueError
        Says what is wrong with it; never with the password.

    Examples
    --------
    >>> check_redis_url("redis://localhost:6379/0")
    'redis://localhost:6379/0'
    >>> check_redis_url("redis://:pa/ss=@h:6379/0")
    Traceback (most recent call last):
    ValueError: the password has a '/', which ends the address: write it as %2F
    """
    scheme, divider, rest = url.strip().partition("://")
    if not divider or scheme not in ("redis", "rediss", "unix"):
        raise ValueError(
            "no URL of Redis: write redis://HOST:6379/0, rediss://... for TLS, or unix:///PATH for a socket"
        )
    head, at, place = rest.rpartition("@")
    for letter, escape in _ESCAPES.items():
        if at and letter in head:
            raise ValueError(f"the password has a {letter!r}, which ends the address: write it as {escape}")
    if scheme == "unix":
        if not place.partition("?")[0].startswith("/"):
            raise ValueError("no path of a socket: write unix:///run/redis.sock")
        return url
    try:
        parts = urlsplit(f"redis://{place}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its port is no number up to 65535: write redis://HOST:6379/0") from None
    if not host:
        raise ValueError("it names no host: write redis://HOST:6379/0")
    if parts.fragment:
        raise ValueError("it has a '#', after which nothing is read: write it as %23")
    database = parts.path.strip("/")
    if database and not database.isdecimal():
        raise ValueError(f"its database {database!r} is no number: write redis://HOST:6379/0")
    return url


def check_brokers(text: str) -> str:
    """Return a list of Kafka brokers as it is.

    Raises
    ------
    ValueError
        Names the broker that is written wrongly.

    Examples
    --------
    >>> check_brokers("a:9092, [::1]:9092")
    'a:9092, [::1]:9092'
    >>> check_brokers("http://h:9092/")
    Traceback (most recent call last):
    ValueError: 'http://h:9092/' is no broker: write HOST:PORT, several separated by commas, without a scheme or a path
    """
    brokers = [broker.strip() for broker in text.split(",")]
    for broker in brokers:
        found = _BROKER.fullmatch(broker)
        if found is None or int(found["port"] or 1) not in range(1, _MOST_PORTS + 1):
            raise ValueError(
                f"{masked_url(broker)!r} is no broker: write HOST:PORT, several separated by commas, without a "
                "scheme or a path"
            )
    return text


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def addresses(brokers: str) -> list[Address]:
    """Return the addresses of a list of Kafka brokers; what is none is left out.

    Examples
    --------
    >>> [str(address) for address in addresses("a, [::1]:9093")]
    ['a:9092', '[::1]:9093']
    """
    found = []
    for broker in brokers.split(","):
        match = _BROKER.fullmatch(broker.strip())
        if match is not None:
            host = broker.strip().removesuffix(f":{match['port']}").strip("[]")
            found.append(Address(host, int(match["port"] or _KAFKA_PORT)))
    return found


def is_listening(brokers: str) -> bool:
    """Whether anybody takes a connection at one of these addresses: Kafka may be there, and be slow.

    Examples
    --------
    >>> is_listening("127.0.0.1:1, [::1]:1")
    False
    """
    for address in addresses(brokers):
        with suppress(OSError), socket.create_connection(address, _LISTEN_SECONDS):
            return True
    return False
