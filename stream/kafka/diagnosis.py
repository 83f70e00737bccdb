"""Why Kafka cannot be used from here: asked step by step, before a client is made or after one has given up.

Both client libraries try again and again, whatever a broker answers, and in the end say only that they have found none.
Here the same steps are taken once: connect, TLS, login, the cluster's metadata, and the addresses that this sends
clients to. The first one that fails is the answer.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Self

from kafka.net.sasl import get_sasl_mechanism

from stream.addresses import Address, addresses
from stream.exceptions import BrokerError, BrokerUnavailable, TopicMismatch
from stream.kafka.broker_answers import Answer, Metadata, Request, request_of
from stream.security.tokens import expiry

__all__ = ["check_access", "unavailable"]

# One step, of a broker that has taken the connection. On a network it takes milliseconds.
_STEP_SECONDS: Final = 3.0
# All steps with all brokers: what follows a client's own ten seconds must not take as long again.
_ALL_SECONDS: Final = 8.0
# One step before a client is made, which waits for itself if this says nothing; and how many brokers are looked at.
_FIRST_STEP_SECONDS: Final = 1.0
_FIRST_BROKERS: Final = 3
_MOST_BYTES: Final = 64 << 20

_HANDSHAKE: Final = (17, 1)
_AUTHENTICATE: Final = (36, 0)
_METADATA: Final = (3, 4)

_ILLEGAL_SASL_STATE: Final = 34
_UNKNOWN_TOPIC: Final = 3
_TOPIC_AUTHORIZATION_FAILED: Final = 29
# Begins an alert of TLS, where a length of an answer would stand.
_ALERT: Final = b"\x15\x03"


def check_access(brokers: str, security: Mapping[str, Any]) -> None:
    """Raise `BrokerUnavailable` if a broker refuses a client of these settings, or sends it where it cannot go.

    Takes milliseconds if the broker answers. One that does not answer, or hangs up, is no refusal: it may be starting,
    behind a proxy that takes connections.
    """
    looking = _Looking(brokers, security, _FIRST_STEP_SECONDS)
    try:
        metadata = looking.ask()
        if metadata is None:
            return
        some = metadata.brokers[:_FIRST_BROKERS]
        apart = looking.apart(some)
    except _HungUp:
        return
    if len(apart) == len(some) and apart:
        raise BrokerUnavailable.advertised(brokers, ", ".join(apart))


def unavailable(brokers: str, security: Mapping[str, Any], topic: str | None = None) -> BrokerError:
    """Return why none of these brokers could be used. Takes some seconds at most.

    Parameters
    ----------
    brokers
        Host:port, separated by commas.
    security
        What `Settings.kafka_python_security` or `Settings.aiokafka_security` returned.
    topic
        A topic that could not be found: it may be missing, or hidden from this client.
    """
    looking = _Looking(brokers, security)
    try:
        metadata = looking.ask(topic)
        if metadata is not None and (apart := looking.apart(metadata.brokers)):
            return BrokerUnavailable.advertised(brokers, ", ".join(apart))
    except BrokerUnavailable as reason:
        return reason
    error = None if metadata is None or topic is None else metadata.topics.get(topic)
    if error == _UNKNOWN_TOPIC:
        return TopicMismatch.missing(str(topic))
    if error == _TOPIC_AUTHORIZATION_FAILED:
        return BrokerError(
            f"Kafka at {brokers} does not let {_who(security)} see {topic}: allow it to describe, and to read or "
            "write, the topic (kafka-acls.sh)"
        )
    return BrokerUnavailable.silent(brokers, listening=looking.listening)


def _who(security: Mapping[str, Any]) -> str:
    name = security.get("sasl_plain_username")
    return f"the user {name}" if name else "this client"


def _no_broker(address: Address) -> BrokerUnavailable:
    return BrokerUnavailable(f"what listens at {address} is no Kafka broker: check INTENT_KAFKA")


class _HungUp(BrokerUnavailable):
    """A broker, or a proxy before it, ends the connection without a reason."""


class _Looking:
    """One look at some brokers.

    Attributes
    ----------
    listening
        Whether any of them has taken a connection.
    """

    def __init__(
        self, brokers: str, security: Mapping[str, Any], step_seconds: float = _STEP_SECONDS
    ) -> None:
        self.listening = False
        self._step_seconds = step_seconds
        self._brokers = brokers
        self._security = security
        self._ends = time.monotonic() + _ALL_SECONDS

    def ask(self, topic: str | None = None) -> Metadata | None:
        """Return what the first broker that answers knows; raises the first refusal if none does."""
        refusal: BrokerUnavailable | None = None
        for address in addresses(self._brokers):
            try:
                return self._metadata(address, topic)
            except OSError:
                continue
            except BrokerUnavailable as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal
        return None

    def apart(self, told: Sequence[Address]) -> list[str]:
        """Return where clients are sent and nobody answers; raises what a broker refuses there."""
        apart = []
        for address in told:
            try:
                self._metadata(address)
            except TimeoutError:
                apart.append(f"{address} (no answer)")
            except OSError as error:
                apart.append(f"{address} ({error.strerror or error})")
        return apart

    def _metadata(self, address: Address, topic: str | None = None) -> Metadata:
        """Return what a broker knows; raises `OSError` if it says nothing, `BrokerUnavailable` if it refuses."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            with _Conversation.begun(address, self._security, min(left, self._step_seconds), self) as broker:
                if str(self._security.get("security_protocol", "")).startswith("SASL"):
                    broker.log_in()
                return broker.metadata(topic)
        except struct.error as error:
            raise _no_broker(address) from error
        except UnicodeError as error:  # of a host name that none can be
            raise OSError(str(error)) from error


class _Conversation:
    """A connection to one broker; every method raises `BrokerUnavailable` with what the broker refuses."""

    def __init__(self, connection: socket.socket, address: Address, security: Mapping[str, Any]) -> None:
        self._socket = connection
        self._address = address
        self._security = security
        self._protocol = security.get("security_protocol", "PLAINTEXT")

    @classmethod
    @contextmanager
    def begun(
        cls, address: Address, security: Mapping[str, Any], seconds: float, looking: _Looking
    ) -> Iterator[Self]:
        """Connect, with TLS if that is set; close at the end."""
        with closing(socket.create_connection((address.host, address.port), seconds)) as connection:
            looking.listening = True
            context: ssl.SSLContext | None = security.get("ssl_context")
            if context is None:
                yield cls(connection, address, security)
                return
            with _tls_errors(address):
                secured = context.wrap_socket(connection, server_hostname=address.host)
            with closing(secured), _tls_errors(address):
                yield cls(secured, address, security)

    def log_in(self) -> None:
        """Log in by the mechanism that is set."""
        name = self._security["sasl_mechanism"]
        answer = self._ask(_HANDSHAKE, partial(Request.text, text=name))
        error, offered = answer.int16(), answer.texts()
        if error == _ILLEGAL_SASL_STATE:
            raise BrokerUnavailable(
                f"Kafka at {self._address} asks for no login: set INTENT_SECURITY_PROTOCOL to "
                f"{'SSL' if self._protocol == 'SASL_SSL' else 'PLAINTEXT'}"
            )
        if error:
            others = " or ".join(sorted(offered)) or "what the broker offers"
            raise BrokerUnavailable(
                f"Kafka at {self._address} does not offer {name}: set INTENT_SASL_MECHANISM to {others}"
            )
        provider = self._security.get("sasl_oauth_token_provider")
        token = "" if provider is None else self._token(provider)
        options = {key: value for key, value in self._security.items() if key.startswith("sasl_")}
        if provider is not None:
            options["sasl_oauth_token_provider"] = _given(token)
        mechanism = get_sasl_mechanism(name)(host=self._address.host, **options)
        while not mechanism.is_done():
            said = mechanism.auth_bytes()
            answer = self._ask(_AUTHENTICATE, partial(Request.data, data=said))
            error, message = answer.int16(), answer.text()
            if error:
                raise self._refused(message or "no reason given", token)
            try:
                mechanism.receive(answer.data())
            except (ValueError, LookupError):  # of SCRAM: what a server that knows the password would not say
                raise self._refused("the broker does not prove that it knows the password", token) from None

    def metadata(self, topic: str | None) -> Metadata:
        """Return which brokers there are, and what becomes of a topic that is asked for."""

        def write(request: Request) -> None:
            request.texts([topic] if topic else [])
            request.flag(flag=False)  # asking for a topic must not create it

        return Metadata.of(self._ask(_METADATA, write))

    def _token(self, provider: Any) -> str:
        try:
            token: str = provider.source.token()
        except Exception as error:
            raise BrokerUnavailable(str(error)) from error
        return token

    def _refused(self, message: str, token: str) -> BrokerUnavailable:
        if not token:
            user, mechanism = self._security.get("sasl_plain_username"), self._security["sasl_mechanism"]
            return BrokerUnavailable(
                f"Kafka at {self._address} refuses the login of {user} by {mechanism} ({message}): check "
                "INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD"
            )
        setting = self._security["sasl_oauth_token_provider"].source.setting
        ended = expiry(token)
        if ended is not None and ended <= time.time():
            at = datetime.fromtimestamp(ended, UTC).isoformat(" ", "seconds")
            return BrokerUnavailable(
                f"Kafka at {self._address} refuses the token of {setting}, which expired at {at}: see to a new one"
            )
        return BrokerUnavailable(
            f"Kafka at {self._address} refuses the token of {setting} ({message}): check its issuer, audience and scope"
        )

    def _ask(self, api: tuple[int, int], write: Callable[[Request], None]) -> Answer:
        self._socket.sendall(request_of(*api, write))
        header = self._read(4)
        if header[:2] == _ALERT:
            raise BrokerUnavailable(
                f"Kafka at {self._address} wants TLS: set INTENT_SECURITY_PROTOCOL to SSL or SASL_SSL"
            )
        (size,) = struct.unpack(">i", header)
        if not 0 < size < _MOST_BYTES:
            raise _no_broker(self._address)
        return Answer(self._read(size))

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            try:
                more = self._socket.recv(size - len(read))
            except ConnectionResetError:
                more = b""
            if not more:
                raise _HungUp(
                    f"Kafka at {self._address} hangs up on a client that comes by {self._protocol}: if it is starting, "
                    "try again; else set INTENT_SECURITY_PROTOCOL to what this port of the broker wants"
                )
            read += more
        return read


@contextmanager
def _tls_errors(address: Address) -> Iterator[None]:
    """Turn errors of TLS into one line; some of a handshake come only with the first answer."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        if "hostname" in error.verify_message.lower() or "ip address" in error.verify_message.lower():
            raise BrokerUnavailable(
                f"the certificate of Kafka at {address} is for another name ({error.verify_message}): name the broker "
                "as its certificate does, in INTENT_KAFKA and in advertised.listeners of the broker"
            ) from error
        raise BrokerUnavailable(
            f"the certificate of Kafka at {address} is not trusted ({error.verify_message}): set INTENT_SSL_CAFILE to "
            "the file of the authority that has signed it"
        ) from error
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        if isinstance(error, ssl.SSLEOFError):
            raise _HungUp(
                f"what listens at {address} hangs up instead of speaking TLS: if it is starting, try again; else check "
                "INTENT_SECURITY_PROTOCOL, and the port in INTENT_KAFKA"
            ) from error
        if "alert" in reason:
            raise BrokerUnavailable(
                f"Kafka at {address} gets no client certificate that it accepts ({reason}): set INTENT_SSL_CERTFILE "
                "and INTENT_SSL_KEYFILE to one that an authority of the broker has signed"
            ) from error
        raise BrokerUnavailable(
            f"Kafka at {address} does not speak TLS ({reason}): check INTENT_SECURITY_PROTOCOL and the port in "
            "INTENT_KAFKA"
        ) from error


def _given(token: str) -> Any:
    """Return a provider of kafka-python's that has this token already."""
    from kafka.net.sasl.oauth import AbstractTokenProvider

    class Given(AbstractTokenProvider):  # type: ignore[misc]
        """Gives one token."""

        def token(self) -> str:
            return token

    return Given()
