"""Addresses of Kafka and Redis as people write them: checked before anything connects, shown without passwords."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import unquote

from features.store.redis_url import OPEN

# What stands for a password.
_HIDDEN: Final = "***"
# A user, or a host, and not a piece of a password with odd characters.
_NAME: Final = re.compile(r"[\w.+-]*")
# What may follow the hosts: a database, or a name and a database.
_DATABASE: Final = re.compile(r"[0-9]*/?")
_NAMED: Final = re.compile(r"[\w.-]+(/[0-9]*)?")
_PATHS: Final = {
    "": _DATABASE, "redis": _DATABASE, "rediss": _DATABASE, "redis+sentinel": _NAMED, "rediss+sentinel": _NAMED,
    **dict.fromkeys(("redis+cluster", "rediss+cluster"), re.compile("0?")),
}  # fmt: skip
_FILE: Final = re.compile(r"[\w./~-]*")
_BROKER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_MOST_PORTS: Final = 65_535
_KAFKA_PORT: Final = 9092
# Bounds a look at one address, after nobody has answered for seconds.
_LISTEN_SECONDS: Final = 1.0


def masked_url(url: str) -> str:
    """Return a URL without its password, whatever characters that has, and wherever somebody wrote it.

    Where it cannot be told what is the password, nothing but the scheme is left.

    Examples
    --------
    >>> masked_url("redis://shop:pa/ss@word@cache:6379/0"), masked_url("rediss://cache?ssl_password=hush&db=1")
    ('redis://shop:***@cache:6379/0', 'rediss://cache?ssl_password=***&db=1')
    >>> masked_url("redis://shop:hush"), masked_url("redis://h/0?x#hush@h")
    ('redis://shop:***', 'redis://***')
    """
    scheme, divider, rest = url.partition("://") if "://" in url else ("", "", url)
    place, question, query = rest.partition("?")
    if "@" in query or "#" in query or ("#" in place and "@" not in place):
        return f"{scheme}{divider}{_HIDDEN}"
    login, at, hosts = place.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:{_HIDDEN}" if colon and _NAME.fullmatch(user) else _HIDDEN
    parts = "&".join(map(_masked_parameter, query.split("&"))) if query else ""
    return f"{scheme}{divider}{shown if at else ''}{at}{_masked_hosts(scheme, hosts)}{question}{parts}"


def _masked_hosts(scheme: str, text: str) -> str:
    """Return hosts with their ports and what follows; what stands for a port and is none may be a password."""
    hosts, slash, path = text.partition("/")
    known = _PATHS.get(scheme)
    if path and known is not None and not known.fullmatch(path):
        path = _HIDDEN
    return ",".join(map(_masked_host, hosts.split(","))) + slash + path


def _masked_host(text: str) -> str:
    if _BROKER.fullmatch(text.strip()) or not text:
        return text
    name, colon, _ = text.partition(":")
    return f"{name}:{_HIDDEN}" if colon and _NAME.fullmatch(name) else _HIDDEN


def _masked_parameter(text: str) -> str:
    """Return a parameter that is known to be no secret; of another one the name, where that tells a password."""
    name, equals, value = text.partition("=")
    if name in OPEN and (value.isdecimal() if name == "db" else _FILE.fullmatch(value)):
        return text
    return f"{name}={_HIDDEN}" if equals and "password" in unquote(name).lower() else _HIDDEN


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
