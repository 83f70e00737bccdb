"""What is set about a secure connection, checked as a whole, and given to both client libraries alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from stream.exceptions import SettingsError
from stream.security.certificates import tls_context
from stream.security.tokens import (
    TokenSource,
    endpoint_tokens,
    file_tokens,
    for_aiokafka,
    for_kafka_python,
)

__all__ = ["Security"]

_OAUTH: Final = "OAUTHBEARER"


class Security(NamedTuple):
    """How a client and a broker know each other; see the settings of the same names.

    Secrets are plain here: never show one of these.
    """

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = None
    token_file: Path | None = None
    token_endpoint: str | None = None
    token_scope: str = ""
    cafile: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    key_password: str | None = None

    def __repr__(self) -> str:
        return f"Security({self.protocol}, {self.mechanism})"

    def kafka_python(self) -> dict[str, Any]:
        """Return it as arguments of kafka-python's clients.

        Raises
        ------
        SettingsError
            Settings contradict each other, or a file cannot be used.
        """
        options = self._options()
        if self._logs_in and self.mechanism == _OAUTH:
            options["sasl_oauth_token_provider"] = for_kafka_python(self._tokens())
        return options

    def aiokafka(self) -> dict[str, Any]:
        """Return it as arguments of aiokafka's clients; raises what `kafka_python` raises."""
        options = self._options()
        if self._logs_in and self.mechanism == _OAUTH:
            options["sasl_oauth_token_provider"] = for_aiokafka(self._tokens())
        return options

    @property
    def _logs_in(self) -> bool:
        return self.protocol.startswith("SASL")

    @property
    def _encrypts(self) -> bool:
        return self.protocol.endswith("SSL")

    def _options(self) -> dict[str, Any]:
        self._check()
        if self.protocol == "PLAINTEXT":
            return {}
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self._encrypts:
            options["ssl_context"] = tls_context(self.cafile, self.certfile, self.keyfile, self.key_password)
        if self._logs_in:
            options["sasl_mechanism"] = self.mechanism or "PLAIN"
            if self.mechanism != _OAUTH:
                options["sasl_plain_username"] = self.username
                options["sasl_plain_password"] = self.password
        return options

    def _tokens(self) -> TokenSource:
        if self.token_file is not None:
            return file_tokens(self.token_file)
        return endpoint_tokens(
            self.token_endpoint or "",
            self.username or "",
            self.password or "",
            self.token_scope,
            self.cafile,
        )

    def _check(self) -> None:
        if not self._logs_in:
            self._refuse_unused(
                {
                    "INTENT_SASL_MECHANISM": self.mechanism,
                    "INTENT_SASL_USERNAME": self.username,
                    "INTENT_SASL_PASSWORD": self.password,
                    "INTENT_SASL_OAUTH_TOKEN_FILE": self.token_file,
                    "INTENT_SASL_OAUTH_TOKEN_ENDPOINT": self.token_endpoint,
                    "INTENT_SASL_OAUTH_SCOPE": self.token_scope,
                },
                "which does not log in: set it to SASL_SSL or SASL_PLAINTEXT",
            )
        if not self._encrypts:
            self._refuse_unused(
                {
                    "INTENT_SSL_CAFILE": None if self.token_endpoint else self.cafile,
                    "INTENT_SSL_CERTFILE": self.certfile,
                    "INTENT_SSL_KEYFILE": self.keyfile,
                    "INTENT_SSL_KEY_PASSWORD": self.key_password,
                },
                "which does not encrypt: set it to SSL or SASL_SSL",
            )
        for name, value in (("KEYFILE", self.keyfile), ("KEY_PASSWORD", self.key_password)):
            if value is not None and self.certfile is None:
                raise SettingsError(
                    f"INTENT_SSL_{name} is set without a certificate: set INTENT_SSL_CERTFILE, too"
                )
        if self._logs_in:
            self._check_login()

    def _check_login(self) -> None:
        if self.mechanism == _OAUTH:
            if (self.token_file is None) == (self.token_endpoint is None):
                raise SettingsError(
                    "INTENT_SASL_MECHANISM is OAUTHBEARER, whose tokens come from one place: set either "
                    "INTENT_SASL_OAUTH_TOKEN_FILE or INTENT_SASL_OAUTH_TOKEN_ENDPOINT"
                )
            needed = self.token_endpoint is not None
        else:
            for name, value in (
                ("FILE", self.token_file),
                ("ENDPOINT", self.token_endpoint),
            ):
                if value is not None:
                    raise SettingsError(
                        f"INTENT_SASL_OAUTH_TOKEN_{name} is set, but INTENT_SASL_MECHANISM is "
                        f"{self.mechanism or 'PLAIN'}: set it to OAUTHBEARER"
                    )
            needed = True
        if needed and (self.username is None or self.password is None):
            whose = (
                "a token endpoint"
                if self.mechanism == _OAUTH
                else f"INTENT_SECURITY_PROTOCOL={self.protocol}"
            )
            raise SettingsError(f"{whose} needs a login: set INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD")

    def _refuse_unused(self, settings: dict[str, object], why: str) -> None:
        for name, value in settings.items():
            if value:
                raise SettingsError(f"{name} is set, but INTENT_SECURITY_PROTOCOL is {self.protocol}, {why}")
