"""Bearer tokens for SASL OAUTHBEARER [1]_: from a file that somebody renews, or from a token endpoint.

.. [1] RFC 7628; the endpoint gives tokens for client credentials as in RFC 6749, section 4.4.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import math
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any, Final, Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

from features.exceptions import IntentError
from stream.exceptions import SettingsError
from stream.security.certificates import tls_context

__all__ = ["EndpointTokens", "FileTokens", "TokenSource", "endpoint_tokens", "expiry", "file_tokens"]

logger = logging.getLogger(__name__)

# Bounds a request for a token, however slowly it is answered. Stays under the 30 s for which both client libraries wait
# for a connection.
_ANSWER_SECONDS: Final = 10.0
# So long nobody asks again an endpoint that gave none, while the token before lives.
_AGAIN_SECONDS: Final = 10.0
# A token is asked for anew when so much of its life is left, but never more than half of it.
_EARLY_SECONDS: Final = 60.0
# The life of a token whose endpoint does not tell it.
_UNTOLD_SECONDS: Final = 300.0
_MOST_BYTES: Final = 1 << 20
# What an endpoint may say is wrong [1]_, section 5.2, and the two of section 4.1.2.1 that many use here, too.
_REASONS: Final = {
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope", "server_error", "temporarily_unavailable",
}  # fmt: skip
_PARTS_OF_JWT: Final = 3


class TokenSource(Protocol):
    """Gives a token for each login.

    Attributes
    ----------
    setting
        The setting that tells where tokens come from, for messages.
    """

    setting: str

    def token(self) -> str:
        """Return a token; raises `SettingsError` if there is none. May be called from any thread."""


class FileTokens:
    """Tokens from a file, which is read at each login: whoever renews them writes another one into it.

    Parameters
    ----------
    path
        The file; it holds the token and nothing else.
    """

    setting = "INTENT_SASL_OAUTH_TOKEN_FILE"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._had = False  # that there was a token: this is no first login, whose failure ends a command
        self._told = False  # that there is none any more

    def token(self) -> str:
        """Return what the file holds now."""
        try:
            token = self._read()
        except SettingsError as error:
            with self._lock:
                if self._had and not self._told:
                    self._told = True
                    logger.warning("%s; until then nobody can log in to Kafka again", error)
            raise
        with self._lock:
            if self._told:
                logger.warning("%s %s holds a token again", self.setting, self._path)
            self._had, self._told = True, False
        return token

    def _read(self) -> str:
        try:
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not written in ASCII"
            raise SettingsError(
                f"{self.setting} {self._path} cannot be read ({why}): name a file with a token"
            ) from None
        if not _is_token(token):
            raise SettingsError(
                f"{self.setting} {self._path} holds no token: write one into it, and nothing else"
            )
        return token


class EndpointTokens:
    """Tokens that an endpoint gives for client credentials; one is used again until shortly before it expires.

    While the endpoint gives no other one, the last one is used until it does expire.

    Parameters
    ----------
    endpoint
        Its URL.
    client, secret
        What it knows the client by.
    scope
        What is asked for; empty: what the endpoint gives by itself.
    cafile
        Certificates that are trusted besides those of the system.
    clock
        Returns seconds since any fixed moment.
    """

    setting = "INTENT_SASL_OAUTH_TOKEN_ENDPOINT"

    def __init__(
        self,
        endpoint: str,
        client: str,
        secret: str,
        scope: str = "",
        cafile: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        credentials = f"{quote_plus(client)}:{quote_plus(secret)}".encode()
        self._request = urllib.request.Request(
            endpoint,
            urlencode(form).encode(),
            {
                "Accept": "application/json",
                "Authorization": f"Basic {base64.b64encode(credentials).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        context = tls_context()
        if cafile is not None:
            tls_context(cafile)  # says what is wrong with the file
            context.load_verify_locations(cafile)
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Stay())
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._failed: tuple[float, SettingsError] | None = None  # when last nobody had a token, and why
        self._told = False  # that the endpoint gives none
        self._asking: threading.Thread | None = None  # what asks the endpoint, or has asked it last
        self._until = self._expires = float("-inf")

    def token(self) -> str:
        """Return a token that lives for some time, or the one that still does where the endpoint gives no other."""
        came = self._clock()
        with self._lock:
            if (
                self._failed is not None and self._failed[0] > came
            ):  # while this thread waited for another one
                raise self._failed[1]
            asked = self._clock()
            if asked >= self._until:
                try:
                    token, seconds = self._ask()
                except SettingsError as error:
                    self._tell(error)
                    if self._clock() >= self._expires:
                        self._failed = self._clock(), error
                        raise
                    self._until = self._clock() + _AGAIN_SECONDS
                else:
                    if self._told:
                        logger.warning("the token endpoint %s gives tokens again", self._endpoint)
                    self._told, self._token = False, token
                    self._expires = asked + seconds
                    self._until = self._expires - min(_EARLY_SECONDS, seconds / 2)
            return self._token

    def _tell(self, error: SettingsError) -> None:
        """Log once that a running client gets no other token: its library would say that a connection is closed."""
        if self._told or not self._token:
            return
        self._told = True
        left = self._expires - self._clock()
        before = f"lives for {left:.0f} s more" if left > 0 else "has expired"
        logger.warning("%s; the token before %s", error, before)

    def _ask(self) -> tuple[str, float]:
        """Ask in a thread of its own: what drips, or a name that is looked up for ever, has no limit of time.

        While a request is still under way that nobody waits for any more, there is no other one: each would keep a
        thread and a connection.
        """
        if self._asking is not None and self._asking.is_alive():
            raise self._too_late()
        answered: Queue[tuple[str, float] | SettingsError] = Queue()
        self._asking = threading.Thread(
            target=lambda: answered.put(self._answer()), name="token", daemon=True
        )
        self._asking.start()
        try:
            answer = answered.get(timeout=_ANSWER_SECONDS)
        except Empty:
            raise self._too_late() from None
        if isinstance(answer, SettingsError):
            raise answer
        return answer

    def _answer(self) -> tuple[str, float] | SettingsError:
        """Return a token and its life in seconds, or why there is none."""
        try:
            with self._opener.open(self._request, timeout=_ANSWER_SECONDS) as response:
                answer = json.loads(_body(response))
            token, seconds = answer["access_token"], float(answer.get("expires_in", _UNTOLD_SECONDS))
        except urllib.error.HTTPError as error:
            with error:
                return self._failure(f"answers {error.code}{_reason(error)}", refused=True)
        except HTTPException:  # whose text is whatever was answered
            return self._failure("does not speak HTTP")
        except OSError as error:
            return self._failure(f"cannot be asked ({getattr(error, 'reason', None) or error})")
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
            return self._failure("does not answer with a token")
        if not _is_token(token):
            return self._failure("does not answer with a token")
        return token, seconds if math.isfinite(seconds) else _UNTOLD_SECONDS

    def _too_late(self) -> SettingsError:
        return self._failure(f"has not answered within {_ANSWER_SECONDS:.0f} s")

    def _failure(self, what: str, *, refused: bool = False) -> SettingsError:
        other = ", INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD" if refused else ""
        return SettingsError(f"the token endpoint {self._endpoint} {what}: check {self.setting}{other}")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: the secret is for the endpoint that was named, and for no other."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Return no request."""


def _body(response: HTTPResponse) -> bytes:
    """Return what is answered; raises `TimeoutError` when nobody waits for it any more."""
    body, ends = b"", time.monotonic() + _ANSWER_SECONDS
    while len(body) < _MOST_BYTES and (piece := response.read1(_MOST_BYTES - len(body))):
        if time.monotonic() > ends:
            raise TimeoutError("its answer has no end")
        body += piece
    return body


def _reason(error: urllib.error.HTTPError) -> str:
    """Return the error's name that an endpoint gives, such as ``invalid_client``; never what else it says."""
    try:
        name = json.loads(error.read(_MOST_BYTES))["error"]
    except (OSError, HTTPException, ValueError, TypeError, LookupError, RecursionError):
        return ""
    return f" ({name})" if isinstance(name, str) and name in _REASONS else ""


def _is_token(text: object) -> bool:
    """Whether a text can be a token: neither empty, nor what would end or forge the login's message."""
    return isinstance(text, str) and bool(text) and text.isascii() and text.isprintable() and " " not in text


def check_endpoint(value: object) -> str:
    """Return the URL of a token endpoint as it is.

    Raises
    ------
    ValueError
        It is none, or holds a password.

    Examples
    --------
    >>> check_endpoint("https://login.example.com/oauth2/token")
    'https://login.example.com/oauth2/token'
    """
    url = str(value)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("no URL: write https://HOST/PATH") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("no URL of a token endpoint: write https://HOST/PATH")
    if "@" in parts.netloc:
        raise ValueError("its client stands in INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD: leave it out")
    return url


@lru_cache(maxsize=8)
def file_tokens(path: Path) -> FileTokens:
    """Return the one source of a process for this file: what is wrong with it is told once, not by each client."""
    return FileTokens(path)


@lru_cache(maxsize=8)
def endpoint_tokens(
    endpoint: str, client: str, secret: str, scope: str, cafile: Path | None
) -> EndpointTokens:
    """Return the one source of a process for these credentials: all its clients share a token."""
    return EndpointTokens(endpoint, client, secret, scope, cafile)


def expiry(token: str) -> float | None:
    """Return when a token expires (epoch seconds), if it is a JWT that says so. Its signature is not looked at.

    A moment that is on no calendar is none.

    Examples
    --------
    >>> expiry("e30.eyJleHAiOjE3NzIzNjY0MDB9.")
    1772366400.0
    >>> expiry("opaque") is None
    True
    """
    parts = token.split(".")
    if len(parts) != _PARTS_OF_JWT:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        seconds = float(claims["exp"])
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, TypeError, LookupError, OverflowError, OSError, RecursionError):
        return None
    return seconds


def for_kafka_python(source: TokenSource) -> Any:
    """Return the source as kafka-python takes it."""
    from kafka.net.sasl.oauth import AbstractTokenProvider

    class Provider(AbstractTokenProvider):  # type: ignore[misc]
        """Gives tokens to kafka-python, whose thread may wait for one."""

        def __init__(self) -> None:
            self.source = source

        def token(self) -> str:
            return source.token()

    return Provider()


def for_aiokafka(source: TokenSource) -> Any:
    """Return the source as aiokafka takes it."""
    from aiokafka.abc import AbstractTokenProvider
    from aiokafka.errors import KafkaConnectionError

    class Provider(AbstractTokenProvider):  # type: ignore[misc]
        """Gives tokens to aiokafka; none is an outage like others, which a running worker waits out."""

        def __init__(self) -> None:
            self.source = source

        async def token(self) -> str:
            try:
                return await asyncio.to_thread(source.token)
            except IntentError as error:
                raise KafkaConnectionError(str(error)) from error

    return Provider()
