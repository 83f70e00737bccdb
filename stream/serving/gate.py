"""What every request passes: the key and its rate, the limits of a body and of the time, and the answer to what fails.

Nothing here, nor in the log, holds the path that was asked for: it has customers' ids in it. Routes are named by their
templates.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.serving import problems
from stream.serving.keys import ANYBODY, FollowedKeys, Key
from stream.serving.keys import Scope as KeyScope
from stream.serving.limits import RateLimits
from stream.serving.live.pages import PATHS
from stream.serving.metrics import ServiceMetrics

logger = logging.getLogger(__name__)

#: Bytes of a body: a thousand events of a kilobyte, or 1,000 ids as long as they may be.
BODY_BYTES: Final = 1 << 20
#: Bounds an answer, and the wait for a body; streams take as long as they like.
ANSWER_SECONDS: Final = 10.0
# Who looks whether the service lives has no key.
_OPEN: Final = frozenset({"/healthz", "/readyz", "/openapi.json"}) | PATHS
_HUNDRED: Final = 100
# What a client on this machine calls it.
_OWN_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: Where a request's scope keeps its key.
_KEY: Final = "intent.key"
#: Where it keeps the template of its path.
_ROUTE: Final = "intent.route"
#: Where it keeps its time limit.
_LIMIT: Final = "intent.limit"


class Gate:
    """Lets requests pass to the application.

    Parameters
    ----------
    app
        The application.
    keys
        Who may ask; ``None``: everybody may do all.
    metrics
        Counts.
    """

    def __init__(self, app: ASGIApp, keys: FollowedKeys | None, metrics: ServiceMetrics) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics
        self._limits = RateLimits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1003})
            return
        began = time.perf_counter()
        answer = _Answer(send)
        try:
            scope[_KEY] = self._admitted(scope)
            await self._timed(scope, _bounded(scope, receive), answer)
        except problems.Problem as problem:
            await answer.fail(problem, scope, receive)
        except Exception:
            logger.exception("%s %s failed", _method(scope), route_of(scope))
            await answer.fail(problems.Failed("an error of this program"), scope, receive)
        finally:
            route = route_of(scope)
            seconds = time.perf_counter() - began
            self._metrics.requests.labels(_method(scope), route, str(answer.status)).inc()
            if _LIMIT not in scope or scope[_LIMIT].when() is not None:
                self._metrics.seconds.labels(route).observe(seconds)
            if logger.isEnabledFor(logging.DEBUG):
                key = scope.get(_KEY, ANYBODY).name
                logger.debug(
                    "%s %s %s %.1f ms %s", scope["method"], route, answer.status, seconds * 1000, key
                )

    def charge(self, request: Request, count: int) -> None:
        """Take tokens for a batch: one for each hundred, of which the request itself has paid the first.

        Raises
        ------
        TooManyRequests
            The key's rate is used up.
        """
        if count > _HUNDRED:
            self._take(request.scope[_KEY], (count - 1) // _HUNDRED)

    def _admitted(self, scope: Scope) -> Key:
        if self._keys is None:
            check_own_name(_header(scope, b"host"))
        if self._keys is None or scope["path"] in _OPEN:
            return ANYBODY
        kind, _, text = _header(scope, b"authorization").partition(" ")
        if kind.lower() != "bearer" or not text:
            raise problems.Unauthorized("send a key as `Authorization: Bearer intent_...`")
        key = self._keys.current.of(text.strip())
        if key is None:
            raise problems.Unauthorized("this key is not known, or was removed")
        self._take(key, 1.0)
        return key

    def _take(self, key: Key, tokens: float) -> None:
        if key is ANYBODY:
            return
        seconds = self._limits.take(key, tokens)
        if seconds:
            raise problems.TooManyRequests(
                f"the key {key.name!r} may ask {key.rate:g} times a second: wait {seconds} s", seconds
            )

    async def _timed(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        limit = asyncio.timeout(ANSWER_SECONDS)
        scope[_LIMIT] = limit
        try:
            async with limit:
                await self._app(scope, receive, answer.send)
        except TimeoutError:
            if not limit.expired():
                raise
            raise problems.Unavailable(f"no answer within {ANSWER_SECONDS:.0f} s") from None


class _Answer:
    """What has been sent so far."""

    def __init__(self, send: Send) -> None:
        self.status = 0
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def fail(self, problem: problems.Problem, scope: Scope, receive: Receive) -> None:
        """Answer with a problem, unless an answer has begun: then uvicorn closes the connection."""
        if not self.status:
            await problem.response()(scope, receive, self.send)


def check_own_name(host: str) -> None:
    """Raise `problems.Forbidden` where a service without keys is asked by a name that is not this machine's own.

    A browser sends the name of the page's site, also where somebody has that name lead to this machine (DNS rebinding).
    """
    name = host.rpartition(":")[0] if re.search(r":[0-9]+$", host) else host
    if name and name.lower() not in _OWN_NAMES:
        raise problems.Forbidden(
            "a service without keys answers this machine only: ask for http://127.0.0.1, or set INTENT_SERVE_KEYS"
        )


def key_of(request: Request) -> Key:
    """Return the key of a request."""
    key: Key = request.scope[_KEY]
    return key


def check_scope(request: Request, needed: KeyScope) -> None:
    """Raise `problems.Forbidden` unless the key of a request is good for something."""
    key = key_of(request)
    if not key.allows(needed):
        raise problems.Forbidden(
            f"the key {key.name!r} has not the scope {needed!r}: make one with `intent keys add`"
        )


def make_endless(request: Request) -> None:
    """Let the answer to a request take as long as it likes."""
    request.scope[_LIMIT].reschedule(None)


def name_route(request: Request, path: str) -> None:
    """Say which route a request has, by the template of its path."""
    request.scope[_ROUTE] = path


def route_of(scope: Scope) -> str:
    """Return the template of the path that was asked for, without anybody's id."""
    return str(scope.get(_ROUTE, "none"))


def _method(scope: Scope) -> str:
    """Return the method as a label: of those that are none of ours there may be any number."""
    return scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD") else "other"


def _header(scope: Scope, name: bytes) -> str:
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Return what receives the body, and refuses one that is too large before it is in memory."""
    said = _header(scope, b"content-length")
    if said.isdigit() and int(said[:20]) > BODY_BYTES:
        raise _too_large()
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_BYTES:
            raise _too_large()
        return message

    return receiving


def _too_large() -> problems.BodyTooLarge:
    return problems.BodyTooLarge(f"a body has at most {BODY_BYTES:,} bytes: send it in parts")
