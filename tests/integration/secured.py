"""One broker with a listener for each way to log in, so that its start is paid once."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import UserScramCredentialUpsertion

from stream.services.embedded import KafkaServer
from stream.services.process import LOCALHOST, free_port
from stream.settings import Settings
from tests.certificates import Authority

USER, PASSWORD, KEY_PASSWORD = "shop", "correct-horse", "battery-staple"
JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

_PROTOCOLS = {
    "PLAIN": "SASL_PLAINTEXT",
    "SCRAM": "SASL_PLAINTEXT",
    "SASLSSL": "SASL_SSL",
    "MUTUAL": "SSL",
    "OAUTH": "SASL_PLAINTEXT",
    "AFAR": "PLAINTEXT",
}
_SCRAM_MECHANISMS = "SCRAM-SHA-256", "SCRAM-SHA-512"
_LOGIN = "org.apache.kafka.common.security"


def token(seconds: float) -> str:
    """Return an unsecured JWT (RFC 7519, section 6) that expires in so many seconds."""
    now = time.time()
    claims = {"sub": USER, "iat": now - 3600, "exp": now + seconds}
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return f"{'.'.join(encoded)}."


class SecuredBroker:
    """A broker; `settings` says how to reach it by a listener.

    Attributes
    ----------
    ports
        By listener. AFAR tells clients to go to a port where nobody listens: ``nowhere``.
    ways
        By name, the settings of every way to log in that works.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in _PROTOCOLS}
        self.nowhere = free_port()
        self.authority = Authority(folder)
        self.authority.signed("broker")
        certificate, key = self.authority.signed("client", KEY_PASSWORD)
        self.token = folder / "token"
        self.token.write_text(token(3600) + "\n")
        login = {"sasl_username": USER, "sasl_password": PASSWORD}
        encrypted = {"ssl_cafile": self.authority.path}
        self.ways: dict[str, dict[str, Any]] = {
            "plain": self._at("PLAIN", login),
            "scram-256": self._at("SCRAM", login, sasl_mechanism="SCRAM-SHA-256"),
            "scram-512": self._at("SCRAM", login, sasl_mechanism="SCRAM-SHA-512"),
            "sasl-ssl": self._at("SASLSSL", login, encrypted, sasl_mechanism="SCRAM-SHA-512"),
            "certificate": self._at(
                "MUTUAL", encrypted, ssl_certfile=certificate, ssl_keyfile=key, ssl_key_password=KEY_PASSWORD
            ),
            "token": self._at("OAUTH", sasl_mechanism="OAUTHBEARER", sasl_oauth_token_file=self.token),
        }
        self.server = KafkaServer(folder / "kafka", java_options=JAVA)
        self.server = KafkaServer(
            folder / "kafka", self.server.port, properties=self._properties(self.server), java_options=JAVA
        )

    def _at(self, listener: str, *several: dict[str, Any], **more: Any) -> dict[str, Any]:
        found = {"kafka": f"{LOCALHOST}:{self.ports[listener]}", "security_protocol": _PROTOCOLS[listener]}
        for one in (*several, more):
            found |= one
        return found

    def settings(self, way: str, given: Settings, **others: Any) -> Settings:
        """Return settings that reach the broker in one of its `ways`, with something else instead."""
        return Settings(_env_file=None, **(given.model_dump() | self.ways[way] | others))

    def _properties(self, server: KafkaServer) -> dict[str, str]:
        own = server._defaults()
        listeners = {name: f"{name}://{LOCALHOST}:{port}" for name, port in self.ports.items()}
        told = listeners | {"AFAR": f"AFAR://{LOCALHOST}:{self.nowhere}"}
        properties = {
            "controller.quorum.voters": own["controller.quorum.voters"],
            "listeners": ",".join((own["listeners"], *listeners.values())),
            "advertised.listeners": ",".join((own["advertised.listeners"], *told.values())),
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": ",".join(
                (own["listener.security.protocol.map"], *(f"{a}:{b}" for a, b in _PROTOCOLS.items()))
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "broker.both.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.path),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config": (
                f'{_LOGIN}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            ),
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": (
                f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required;"
            ),
            # A connection ends with the token that it was opened with, as brokers of cloud vendors have it.
            "listener.name.oauth.oauthbearer.connections.max.reauth.ms": "3600000",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": "User:ANONYMOUS",
        }
        for listener in ("scram", "saslssl"):
            properties[f"listener.name.{listener}.sasl.enabled.mechanisms"] = ",".join(_SCRAM_MECHANISMS)
            for mechanism in _SCRAM_MECHANISMS:
                properties[f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config"] = (
                    f"{_LOGIN}.scram.ScramLoginModule required;"
                )
        return properties


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Start the broker and make its user known."""
    broker = SecuredBroker(folder)
    with broker.server as server:
        with KafkaAdminClient(bootstrap_servers=server.address) as admin:
            for name in _SCRAM_MECHANISMS:
                answer = admin.alter_user_scram_credentials(
                    [UserScramCredentialUpsertion(USER, name, PASSWORD)]
                )
                assert answer == {USER: None}
        yield broker
