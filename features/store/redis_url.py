"""URLs of Redis: one server, a server that sentinels watch, or a cluster.

``redis://[[user]:password@]HOST[:PORT][/DATABASE]``
    One server.
``unix://[[user]:password@]/PATH[?db=DATABASE]``
    One server, by its socket.
``redis+sentinel://[[user]:password@]HOST[:PORT][,HOST[:PORT]...]/NAME[/DATABASE]``
    The primary that sentinels know by a name. ``?sentinel_username=`` and ``?sentinel_password=`` are for themselves.
``redis+cluster://[[user]:password@]HOST[:PORT][,HOST[:PORT]...]``
    A cluster, by some of its nodes.

With ``rediss`` for ``redis`` the connections are encrypted.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

Kind = Literal["server", "sentinel", "cluster"]

_SCHEMES: Final[dict[str, Kind]] = {
    "redis": "server",
    "rediss": "server",
    "unix": "server",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_PORTS: Final[dict[Kind, int]] = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_FORMS: Final[dict[Kind, str]] = {
    "server": "redis://HOST:6379/0",
    "sentinel": "redis+sentinel://HOST:26379,HOST:26379/NAME/0",
    "cluster": "redis+cluster://HOST:6379,HOST:6379",
}
_ESCAPES: Final = {"/": "%2F", "#": "%23", "?": "%3F", " ": "%20", "[": "%5B", "]": "%5D"}
#: Parameters that name files, and all that are no secrets.
FILES: Final = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"})
OPEN: Final = FILES | {"db", "client_name", "ssl_cert_reqs", "ssl_check_hostname"}
_PARAMETERS: Final = OPEN | {"username", "password", "ssl_password"}
# Of these, redis-py knows none.
_OWN_PARAMETERS: Final = frozenset({"sentinel_username", "sentinel_password"})


class RedisUrl(NamedTuple):
    """What a URL says.

    Attributes
    ----------
    kind
        What answers there.
    nodes
        Host and port of the server, the sentinels or some nodes; none for a socket.
    node_url
        The same for one server, as redis-py reads it: user, password, database and what encrypts.
    name
        By which sentinels know the primary; empty for others.
    sentinel_user, sentinel_password
        For the sentinels themselves; empty where they need none.
    """

    kind: Kind
    nodes: tuple[tuple[str, int], ...]
    node_url: str
    name: str = ""
    sentinel_user: str = ""
    sentinel_password: str = ""

    @property
    def address(self) -> str:
        """Where Redis is, as people are told: never with a password."""
        if not self.nodes:
            return self.node_url.rpartition("@")[2].removeprefix("unix://").partition("?")[0]
        hosts = ", ".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes
        )
        return {
            "server": hosts,
            "sentinel": f"{self.name} (by the sentinels {hosts})",
            "cluster": f"{hosts} (a cluster)",
        }[self.kind]


def parse_redis_url(url: str) -> RedisUrl:
    """Return what a URL says.

    Raises
    ------
    ValueError
        Says what is wrong with it; never with the password.

    Examples
    --------
    >>> parse_redis_url("redis+cluster://a:7000,b").nodes
    (('a', 7000), ('b', 6379))
    >>> parse_redis_url("redis://:pa/ss=@h:6379/0")
    Traceback (most recent call last):
    ValueError: the password has a '/', which ends the address: write it as %2F
    """
    scheme, divider, rest = url.strip().partition("://")
    kind = _SCHEMES.get(scheme)
    if not divider or kind is None:
        raise ValueError(
            "no URL of Redis: write redis://HOST:6379/0, rediss://... for TLS, unix:///PATH for a socket, "
            "redis+sentinel://HOST:26379/NAME or redis+cluster://HOST:6379"
        )
    login, at, place = rest.rpartition("@")
    _check_login(login, kind)
    if "#" in place:
        raise ValueError("it has a '#', after which nothing is read: write it as %23")
    place, question, query = place.partition("?")
    own = _parameters(query, kind)
    if scheme == "unix":
        if not place.startswith("/"):
            raise ValueError("no path of a socket: write unix:///run/redis.sock")
        return RedisUrl(kind, (), f"unix://{login}{at}{place}{question}{query}")
    hosts, _, path = place.partition("/")
    nodes = tuple(_node(host, kind) for host in (hosts.split(",") if kind != "server" else [hosts]))
    name, database = _named(path) if kind == "sentinel" else ("", path.strip("/"))
    _check_database(database, kind)
    host, port = nodes[0]
    kept = "&".join(part for part in query.split("&") if part.partition("=")[0] not in _OWN_PARAMETERS)
    node_url = (
        f"{scheme.partition('+')[0]}://{login}{at}{f'[{host}]' if ':' in host else host}:{port}/{database}"
        f"{'?' if kept else ''}{kept}"
    )
    return RedisUrl(
        kind, nodes, node_url, name, own.get("sentinel_username", ""), own.get("sentinel_password", "")
    )


def _check_login(login: str, kind: Kind) -> None:
    """Refuse what would be read as something else; a text that has a password is never said."""
    if "?" in login and re.search(r"\?[^@]*=", login):
        raise ValueError("it has an '@' behind the '?', which is read as the end of a login: write it as %40")
    if kind != "server" and "@" in login:
        raise ValueError("the login of all nodes stands once, before the first host, and an '@' in it is %40")
    for letter, escape in _ESCAPES.items():
        if letter in login:
            raise ValueError(f"the password has a {letter!r}, which ends the address: write it as {escape}")
    try:
        login.encode()
        urlsplit(f"redis://{login}@host")
    except ValueError:  # of which a surrogate's is one
        login = "\0"
    if not login.isprintable():
        raise ValueError(
            "the login has a letter that no URL can have: write each of its bytes as % and two digits"
        )


def _parameters(query: str, kind: Kind) -> dict[str, str]:
    """Return what stands after the question mark."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    known = _PARAMETERS | (_OWN_PARAMETERS if kind == "sentinel" else frozenset())
    if given.keys() - known:  # whose name is not said: it may be the end of a password
        raise ValueError(
            f"it has a parameter that is unknown: use {', '.join(sorted(known))}; an '&' in one is %26"
        )
    if not given.get("db", "0").isdecimal():
        raise ValueError("its database is no number: write db=0")
    return given


def _node(text: str, kind: Kind) -> tuple[str, int]:
    """Return host and port."""
    form = _FORMS[kind]
    try:
        parts = urlsplit(f"redis://{text.strip()}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"its port is no number up to 65535: write {form}") from None
    if not host or re.search(r"[\s,]", host):
        raise ValueError(f"it names no host: write {form}")
    return host, _PORTS[kind] if port is None else port


def _named(path: str) -> tuple[str, str]:
    name, _, database = path.strip("/").partition("/")
    if not name:
        raise ValueError(
            "it does not say by which name the sentinels know the primary: write "
            "redis+sentinel://HOST:26379/NAME, often NAME is mymaster"
        )
    return name, database


def _check_database(database: str, kind: Kind) -> None:
    if database and not database.isdecimal():
        raise ValueError(f"its database is no number: write {_FORMS[kind]}")
    if kind == "cluster" and int(database or 0):
        raise ValueError(f"a cluster has no database but 0: write {_FORMS[kind]}")
