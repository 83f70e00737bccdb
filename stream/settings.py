"""Settings from the environment (``INTENT_...``) and from ``.env``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from features.durations import duration_ms, duration_text
from features.events import IGNORED_TYPES, Decoding
from stream.addresses import masked_url
from stream.exceptions import SettingsError
from stream.security.options import Security
from stream.setting_values import (
    NATIVE_NAME,
    Brokers,
    Currency,
    Duration,
    Endpoint,
    FormatName,
    ReasonBands,
    RedisUrl,
    Sample,
    Stored,
    Timezone,
    Types,
    split_names,
)
from stream.texts import misfit, shortened

#: Of ``.env``: Windows' editors begin a file with a mark of it.
ENV_ENCODING: Final = "utf-8-sig"
_URLS: Final = ("redis", "sasl_oauth_token_endpoint")
# Of a wrong value in a message.
_SHOWN_LETTERS: Final = 400
_SECRET: Final = (*_URLS, "sasl_password", "ssl_key_password")


class Settings(BaseSettings):
    """How a deployment differs from the next one; each field is an environment variable ``INTENT_...``."""

    model_config = SettingsConfigDict(
        env_prefix="INTENT_",
        env_file=".env",
        env_file_encoding=ENV_ENCODING,
        extra="ignore",
        frozen=True,
    )

    kafka: Brokers = Field("localhost:9092", description="Kafka brokers, host:port separated by commas.")
    redis: RedisUrl = Field(
        SecretStr("redis://localhost:6379/0"), description="URL of Redis; may contain a password."
    )
    services: Literal["auto", "docker", "embedded", "external"] = Field(
        "auto", description="How tests get Kafka and Redis: auto, docker, embedded or external."
    )

    topic_prefix: str = Field("intent.", description="Prefix of the topic names.")
    redis_prefix: str = Field("intent", description="Prefix of the Redis keys.")
    group: str = Field("intent-scorer", description="Consumer group of the workers.")
    group_instance: str | None = Field(
        None,
        min_length=1,
        max_length=249,
        description="Name of this worker in its group, unlike all others: if it is restarted within "
        "INTENT_SESSION_TIMEOUT, it gets its partitions back, and the others keep theirs. Default: none.",
    )
    session_timeout: Duration = Field(
        timedelta(seconds=10),
        ge=timedelta(seconds=10),
        le=timedelta(minutes=30),
        description="Time without a heartbeat after which a worker's partitions go to others.",
    )
    partitions: int = Field(12, ge=1, description="Partitions of new topics.")
    replication: int = Field(1, ge=1, description="Replicas of new topics.")

    bundle: Stored = Field(
        Path("bundle"),
        description="Folder of the model bundle, or a shelf of bundles (`intent bundle`), whose live one workers and "
        "the learner follow.",
    )
    bundle_key: Stored | None = Field(
        None,
        description="Public key (PEM file): bundles, and slots of a shelf, that it has not signed are refused. "
        "Default: none, signatures are not asked for.",
    )
    horizon: Duration = Field(
        timedelta(minutes=30),
        description="Time after an event in which a purchase counts; used for training.",
    )
    hand_over_key: Stored | None = Field(
        None,
        description="File of keys: workers sign what they hand to other partitions, and refuse what is not signed. "
        "Default: none, signatures are not asked for.",
    )
    lateness: Duration = Field(
        timedelta(minutes=15),
        description="How far, in event time, an event may lie behind the newest of its partition; older ones are "
        "rejected.",
    )
    topic: str | None = Field(
        None,
        min_length=1,
        description="Topic of the events, if the shop has one already. Default: INTENT_TOPIC_PREFIX and events.",
    )
    actions_topic: str = Field(
        default_factory=lambda values: f"{values['topic_prefix']}actions",
        description="Topic of actions; empty: none are decided. Default: INTENT_TOPIC_PREFIX and actions.",
    )
    format: FormatName = Field(
        NATIVE_NAME,
        description="Form of the events: native, ga4, segment, snowplow, shopify, cloudevents or confluent; "
        "confluent+segment where one wraps another.",
    )
    strict: bool = Field(
        False, description="Whether a bad optional field rejects its event, instead of being dropped."
    )
    ignore_types: Types = Field(
        ",".join(IGNORED_TYPES),
        description="Event types that are passed over, separated by commas. Default: what GA4 has besides ours.",
    )
    state_ttl: Duration = Field(
        timedelta(days=400), description="Idle time after which a customer is forgotten (event time)."
    )
    currency: Currency | None = Field(
        None, description="Currency of the shop (ISO 4217). Default: the currency of the log."
    )
    timezone: Timezone | None = Field(
        None, description="Time zone of the shop (IANA). Default: the zone of the log, else UTC."
    )
    holdout: float = Field(
        0.05, ge=0, le=1, description="Share of customers that get no action, for comparison."
    )

    reasons: ReasonBands = Field(
        "medium",
        description="Scores that carry reasons: high (that band), medium (medium and high), all, or off.",
    )

    policy: Stored | None = Field(
        None,
        description="Policy file: which action scores carry. A worker follows its changes. Default: the policy that "
        "`intent policy show` prints.",
    )

    excluded_customers: Stored | None = Field(
        None,
        description="File with a customer id on each line: the shop's own people, who are scored and counted apart, "
        "never acted on and never learned from. A worker follows its changes. Default: nobody.",
    )

    max_score_age: Duration | None = Field(
        None,
        description="Time in Kafka after which an event's score is marked as stale and carries no action. "
        "Default: none, every score carries its action.",
    )

    learning: bool = Field(
        True, description="Whether workers write examples for the learner and use what it has learned."
    )
    sample: Sample = Field(
        "", description="Share of events that become examples, by type: view_item=0.2,search=0.5."
    )
    online_model: Literal["newton", "river"] = Field(
        "newton", description="Online model: recursive Newton, or River's gradient descent."
    )
    idle: Duration = Field(
        timedelta(seconds=60),
        description="Idle time after which a partition no longer delays the others.",
    )

    snapshot_interval: Duration = Field(
        timedelta(seconds=10),
        description="Least time between two snapshots of the learner. Workers follow with every snapshot.",
    )

    recommendations: bool = Field(
        True, description="Whether scores contain recommendations from `intent recommend --write`."
    )

    batch_max: int = Field(4000, ge=1, le=100_000, description="Maximum number of events per batch.")
    linger: int = Field(
        100,
        ge=0,
        le=1000,
        description="Milliseconds that a few events may wait for more at low rates, to save CPU; less the more come.",
    )
    cache_customers: int = Field(
        100_000, ge=0, description="Number of states that a worker keeps in memory, 1.8 kB each."
    )
    http_host: str = Field("127.0.0.1", description="Address of /healthz, /readyz and /metrics.")
    http_port: int = Field(
        8080, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics; 0 takes a free port."
    )

    serve_host: str = Field(
        "127.0.0.1",
        description="Address of `intent serve`. Others than this machine's need INTENT_SERVE_KEYS.",
    )
    serve_port: int = Field(8090, ge=0, le=65535, description="Port of `intent serve`; 0 takes a free port.")
    serve_keys: Stored | None = Field(
        None,
        description="File of the keys that `intent serve` asks for (`intent keys add`); it follows changes. "
        "Default: none, nobody needs a key.",
    )
    serve_mask_ids: bool = Field(
        False, description="Whether the page of `intent serve` shows customers' ids masked."
    )

    log: Literal["text", "json"] = Field(
        "text", description="Form of a worker's and a learner's log: text, or one JSON object per line."
    )

    tracing: Literal["off", "otlp"] = Field(
        "off",
        description="Whether rounds are traced by OpenTelemetry: off, or otlp, which sends spans to where "
        "OTEL_EXPORTER_OTLP_ENDPOINT says. Needs the extra `tracing`.",
    )
    tracing_sample: float = Field(0.01, ge=0, le=1, description="Share of the rounds that are traced.")

    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "none",
        description="Compression of what is written to Kafka. zstd makes batches of scores seven times smaller, for a "
        "microsecond of CPU each. Default: none.",
    )

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol of the Kafka connection."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        None, description="SASL mechanism. Default: PLAIN."
    )
    sasl_username: str | None = Field(
        None, description="SASL user name, or the client of the token endpoint."
    )
    sasl_password: SecretStr | None = Field(
        None, description="SASL password, or the secret of that client; never shown."
    )
    sasl_oauth_token_file: Stored | None = Field(
        None,
        description="File with the token of OAUTHBEARER. It is read at each login, so it can be renewed.",
    )
    sasl_oauth_token_endpoint: Endpoint | None = Field(
        None, description="URL that gives tokens of OAUTHBEARER for client credentials (OAuth 2)."
    )
    sasl_oauth_scope: str = Field("", description="Scope that is asked of the token endpoint. Default: none.")
    ssl_cafile: Stored | None = Field(
        None, description="Trusted certificates for SSL (PEM file). Default: those of the system."
    )
    ssl_certfile: Stored | None = Field(
        None, description="Client certificate for SSL (PEM file, chain included). Default: none is shown."
    )
    ssl_keyfile: Stored | None = Field(
        None,
        description="Key of the client certificate (PEM file). Default: it stands in INTENT_SSL_CERTFILE.",
    )
    ssl_key_password: SecretStr | None = Field(
        None, description="Password of that key, if it is encrypted; never shown."
    )

    @property
    def events_topic(self) -> str:
        """The topic that shops write to."""
        return self.topic or f"{self.topic_prefix}events"

    @property
    def scores_topic(self) -> str:
        """The topic that marketing reads."""
        return f"{self.topic_prefix}scores"

    @property
    def dead_letters_topic(self) -> str:
        """The topic of records that were refused."""
        return f"{self.topic_prefix}dead-letters"

    @property
    def examples_topic(self) -> str:
        """The topic of scored events that wait for their labels."""
        return f"{self.topic_prefix}examples"

    @property
    def outcomes_topic(self) -> str:
        """The topic of what really happened."""
        return f"{self.topic_prefix}outcomes"

    @property
    def alerts_topic(self) -> str:
        """The topic of drift alerts."""
        return f"{self.topic_prefix}alerts"

    @property
    def learner_group(self) -> str:
        """The consumer group of the learner."""
        return f"{self.group}.learner"

    @property
    def redis_url(self) -> str:
        """The URL of Redis, password included."""
        return self.redis.get_secret_value()

    @property
    def lateness_ms(self) -> int:
        """`lateness` in milliseconds."""
        return duration_ms(self.lateness)

    @property
    def state_ttl_ms(self) -> int:
        """`state_ttl` in milliseconds."""
        return duration_ms(self.state_ttl)

    @property
    def decoding(self) -> Decoding:
        """How to take events that are not quite of the schema."""
        return Decoding(self.strict, frozenset(split_names(self.ignore_types)))

    @property
    def compression_type(self) -> str | None:
        """The compression as producers take it."""
        return None if self.compression == "none" else self.compression

    @property
    def security(self) -> Security:
        """How clients and brokers know each other."""
        return Security(
            self.security_protocol,
            self.sasl_mechanism,
            self.sasl_username,
            _plain(self.sasl_password),
            self.sasl_oauth_token_file,
            self.sasl_oauth_token_endpoint,
            self.sasl_oauth_scope,
            self.ssl_cafile,
            self.ssl_certfile,
            self.ssl_keyfile,
            _plain(self.ssl_key_password),
        )

    def kafka_python_security(self) -> dict[str, Any]:
        """Return the security settings as kafka-python's clients take them."""
        return self.security.kafka_python()

    def aiokafka_security(self) -> dict[str, Any]:
        """Return the security settings as aiokafka's clients take them."""
        return self.security.aiokafka()

    def masked(self) -> dict[str, Any]:
        """Return all settings as plain values, secrets masked."""
        shown: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name == "redis":
                value = masked_url(self.redis_url)
            elif isinstance(value, SecretStr):
                value = "***"
            elif isinstance(value, timedelta):
                value = duration_text(value)
            shown[name] = str(value) if isinstance(value, Path) else value
        return shown


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment; ``overrides`` come first.

    Raises
    ------
    SettingsError
        Names the variable that cannot be used, and why.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"INTENT_{'_'.join(str(part) for part in first['loc'])}".upper()
        given = first.get("input")
        shown = repr(duration_text(given) if isinstance(given, timedelta) else given)
        if first["loc"] and first["loc"][0] in _SECRET:
            shown = "***" if first["loc"][0] not in _URLS else repr(masked_url(str(given)))
        field = Settings.model_fields.get(str(first["loc"][0])) if first["loc"] else None
        wrong = misfit(first, field.metadata if field else ())
        shown = shortened(shown, _SHOWN_LETTERS)
        if wrong:
            raise SettingsError(f"{name} = {shown} {wrong}") from None
        raise SettingsError(f"{name} = {shown}: {first['msg'].removeprefix('Value error, ')}") from None
    except UnicodeDecodeError:
        raise SettingsError(
            f"{Path('.env').absolute()} is not written in UTF-8: save it as UTF-8, without quotes of a text processor"
        ) from None
