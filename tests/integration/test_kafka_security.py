"""Every way to log in, on a broker that asks for it; and what a client says that a broker refuses."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from typer.testing import CliRunner

from features.events import encode
from stream.cli import create_app
from stream.clients.emit import EventEmitter
from stream.clients.watch import ScoreWatcher
from stream.exceptions import BrokerError, BrokerUnavailable
from stream.kafka.broker import partition_count
from stream.kafka.producing import BoundedProducer
from stream.kafka.topics import check_events, create_topics
from stream.logs.replay import replay
from stream.services.embedded import RedisServer
from stream.services.process import LOCALHOST
from stream.settings import Settings
from stream.testing.worker_process import variables
from tests.bundles import save_bundle
from tests.certificates import Authority
from tests.integration.secured import PASSWORD, USER, SecuredBroker, secured_broker, token
from tests.integration.shop_logs import simulated
from tests.integration.test_emit_watch import event
from tests.integration.test_serving import follow, of_kind
from tests.integration.test_transport import consume
from tests.integration.topics import stored_bytes
from tests.integration.workers import Fleet, service, until
from tests.stream.clients.test_watch import score

WAYS = ("plain", "scram-256", "scram-512", "sasl-ssl", "certificate", "token")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def given(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    name = request.node.name.replace("[", ".").replace("]", "")
    return Settings(
        _env_file=None,
        topic_prefix=f"{name}.",
        redis_prefix=name,
        group=name,
        partitions=3,
        http_port=0,
        bundle=tmp_path,
    )


def refusals(settings: Settings) -> set[str]:
    """Return what both client libraries' users are told."""
    told = set()
    for ask in (
        lambda: create_topics(settings),
        lambda: EventEmitter(settings),
        lambda: ScoreWatcher(settings),
        lambda: asyncio.run(partition_count(settings, settings.events_topic)),
    ):
        with pytest.raises(BrokerUnavailable) as refused:
            ask()
        told.add(str(refused.value))
    assert PASSWORD not in "".join(told)
    return told


@pytest.mark.parametrize("way", WAYS)
def test_events_go_in_and_scores_come_out_by(way: str, broker: SecuredBroker, given: Settings) -> None:
    settings = broker.settings(way, given)
    assert all(topic.created for topic in create_topics(settings))
    with EventEmitter(settings) as shop:
        shop.emit(event(1))
    _, job = consume(settings, lambda ownership, job: bool(job.batches))
    assert [record.value for batch in job.batches for record in batch.records] == [encode(event(1))]

    async def publish() -> None:
        producer = BoundedProducer(settings.kafka, **settings.aiokafka_security())
        async with producer.publication() as publication:
            await publication.send_and_wait(
                settings.scores_topic, msgspec.json.encode(score("ada", 0.5)), b"ada"
            )
        await producer.close()

    asyncio.run(publish())
    with ScoreWatcher(settings, from_beginning=True, limit=1) as watcher:
        assert [one.purchase_intent for one in watcher] == [0.5]


def test_a_worker_scores_over_tls_with_a_login_and_compresses(
    broker: SecuredBroker, redis: RedisServer, given: Settings, tmp_path: Path
) -> None:
    settings = broker.settings("sasl-ssl", given, redis=redis.url, compression="zstd")
    create_topics(settings)
    save_bundle(settings.bundle)
    with Fleet(settings, tmp_path / "logs") as fleet:
        with EventEmitter(settings) as shop:
            for number in range(300):
                shop.emit(event(number))
        worker = fleet.ready()
        with ScoreWatcher(settings, from_beginning=True, limit=300) as watcher:
            scores = list(watcher)
        assert [one.event_id for one in scores] == [f"e{number}" for number in range(300)]
        assert stored_bytes(settings, settings.scores_topic) < len(msgspec.json.encode(scores)) / 2
        assert worker.stop()[0] == 0
        assert PASSWORD not in "\n".join(worker.lines())


def test_the_service_and_the_learner_read_over_tls_with_a_login_what_a_worker_wrote(
    broker: SecuredBroker, redis: RedisServer, given: Settings, tmp_path: Path
) -> None:
    settings = broker.settings(
        "sasl-ssl", given, redis=redis.url, snapshot_interval=timedelta(milliseconds=300)
    )
    create_topics(settings)
    save_bundle(settings.bundle)
    log = simulated(1_000, 2, seed=11)
    with Fleet(settings, tmp_path / "logs") as fleet:
        worker, learner = fleet.ready(), fleet.ready(command="learner")
        answers = service(fleet, settings)
        told: list[dict[str, str]] = []
        follow(answers, "/v1/scores", told)
        until(lambda: told, "the stream is open")
        replay(settings, log)
        until(lambda: of_kind(told, "score"), "scores come")
        until(lambda: worker.metrics().get("intent_online_version", 0) > 0, "the worker has what was learned")
        customer = log["customer_id"][0].as_py()
        fleet.finish(worker)
        assert answers.get(f"/v1/customers/{customer}").json()["customer_id"] == customer
        for process in (answers, learner, worker):
            assert process.stop()[0] == 0
            assert PASSWORD not in "\n".join(process.lines())


@pytest.mark.parametrize(
    ("way", "others", "line"),
    [
        (
            "plain",
            {"sasl_password": "wrong"},
            "refuses the login of shop by PLAIN (Authentication failed: Invalid username or password): check "
            "INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD",
        ),
        (
            "scram-512",
            {"sasl_password": "wrong"},
            "refuses the login of shop by SCRAM-SHA-512 (Authentication failed during authentication due to invalid "
            "credentials with SASL mechanism SCRAM-SHA-512): check INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD",
        ),
        (
            "plain",
            {"sasl_mechanism": "SCRAM-SHA-256"},
            "does not offer SCRAM-SHA-256: set INTENT_SASL_MECHANISM to PLAIN",
        ),
    ],
)
def test_a_refused_login_names_what_to_set(
    way: str, others: dict[str, Any], line: str, broker: SecuredBroker, given: Settings
) -> None:
    settings = broker.settings(way, given, **others)
    assert refusals(settings) == {f"Kafka at {settings.kafka} {line}"}


@pytest.mark.parametrize(
    ("way", "others", "line"),
    [
        (
            "plain",
            {"security_protocol": "PLAINTEXT", "sasl_username": None, "sasl_password": None},
            "hangs up on a client that comes by PLAINTEXT: if it is starting, try again; else set "
            "INTENT_SECURITY_PROTOCOL to what this port of the broker wants",
        ),
        (
            "sasl-ssl",
            {"security_protocol": "SASL_PLAINTEXT", "ssl_cafile": None},
            "wants TLS: set INTENT_SECURITY_PROTOCOL to SSL or SASL_SSL",
        ),
        (
            "plain",
            {"security_protocol": "SASL_SSL"},
            "hangs up instead of speaking TLS: if it is starting, try again; else check INTENT_SECURITY_PROTOCOL, and "
            "the port in INTENT_KAFKA",
        ),
    ],
)
def test_a_port_that_speaks_something_else_is_named(
    way: str, others: dict[str, Any], line: str, broker: SecuredBroker, given: Settings
) -> None:
    settings = broker.settings(way, given, **others)
    with pytest.raises(BrokerUnavailable) as refused:
        asyncio.run(partition_count(settings, settings.events_topic))
    assert str(refused.value).endswith(f" at {settings.kafka} {line}")


def test_certificates_that_are_not_trusted_are_named_on_both_sides(
    broker: SecuredBroker, given: Settings, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    settings = broker.settings("sasl-ssl", given, ssl_cafile=stranger.path)
    assert refusals(settings) == {
        f"the certificate of Kafka at {settings.kafka} is not trusted (unable to get local issuer certificate): set "
        "INTENT_SSL_CAFILE to the file of the authority that has signed it"
    }
    certificate, key = stranger.signed("unknown")
    for shown in (
        {"ssl_certfile": certificate, "ssl_keyfile": key},
        {"ssl_certfile": None, "ssl_keyfile": None},
    ):
        (line,) = refusals(broker.settings("certificate", given, ssl_key_password=None, **shown))
        assert "gets no client certificate that it accepts (" in line
        assert line.endswith(
            "): set INTENT_SSL_CERTFILE and INTENT_SSL_KEYFILE to one that an authority of the broker has signed"
        )


def test_a_token_that_has_expired_is_named_until_the_file_has_a_new_one(
    broker: SecuredBroker, given: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    settings = broker.settings("token", given, sasl_oauth_token_file=path)
    path.write_text(token(-60))
    (line,) = refusals(settings)
    assert line.startswith(
        f"Kafka at {settings.kafka} refuses the token of INTENT_SASL_OAUTH_TOKEN_FILE, which expired at "
    )
    path.write_text("no.token.")
    (line,) = refusals(settings)
    assert line.endswith("check its issuer, audience and scope")
    path.write_text(token(60))
    assert all(topic.created for topic in create_topics(settings))
    path.unlink()
    (line,) = refusals(settings)
    assert line.startswith(
        f"INTENT_SASL_OAUTH_TOKEN_FILE {path} cannot be read (No such file or directory): "
    )


class Tokens(ThreadingHTTPServer):
    """Gives tokens for `USER` and `PASSWORD`.

    Attributes
    ----------
    asked
        What was asked.
    seconds
        How long a token lives.
    answer
        A status and a body that are given instead.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((LOCALHOST, 0), _Handler)
        self.asked: list[dict[str, str]] = []
        self.seconds = 600.0
        self.answer: tuple[int, bytes] | None = None
        self.url = f"http://{LOCALHOST}:{self.server_port}/token"


class _Handler(BaseHTTPRequestHandler):
    server: Tokens

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append({"body": body, "authorization": self.headers["Authorization"]})
        right = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = self.headers["Authorization"] == f"Basic {right}"
        seconds = self.server.seconds
        given = (
            {"access_token": token(seconds), "expires_in": seconds} if known else {"error": "invalid_client"}
        )
        status, answer = self.server.answer or (200 if known else 401, json.dumps(given).encode())
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def endpoint() -> Iterator[Tokens]:
    """Run an endpoint."""
    with Tokens() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_all_clients_of_a_process_share_a_token_of_the_endpoint(
    broker: SecuredBroker, given: Settings
) -> None:
    with endpoint() as tokens:
        url, asked = tokens.url, tokens.asked
        settings = broker.settings(
            "token",
            given,
            sasl_oauth_token_file=None,
            sasl_oauth_token_endpoint=url,
            sasl_oauth_scope="kafka all",
            sasl_username=USER,
            sasl_password=PASSWORD,
        )
        create_topics(settings)
        assert asyncio.run(partition_count(settings, settings.events_topic)) == 3
        with EventEmitter(settings) as shop:
            shop.emit(event(1))
        assert [one["body"] for one in asked] == ["grant_type=client_credentials&scope=kafka+all"]
        wrong = settings.model_copy(update={"sasl_username": "nobody"})
        assert refusals(wrong) == {
            f"the token endpoint {url} answers 401 (invalid_client): check INTENT_SASL_OAUTH_TOKEN_ENDPOINT, "
            "INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD"
        }
    (line,) = refusals(wrong)
    assert line == (
        f"the token endpoint {url} cannot be asked ([Errno 111] Connection refused): check "
        "INTENT_SASL_OAUTH_TOKEN_ENDPOINT"
    )


def test_a_worker_goes_on_while_its_token_lives_and_when_its_endpoint_is_back(
    broker: SecuredBroker, redis: RedisServer, given: Settings, tmp_path: Path
) -> None:
    with endpoint() as tokens:
        settings = broker.settings(
            "token", given, redis=redis.url, sasl_oauth_token_file=None, sasl_oauth_token_endpoint=tokens.url,
            sasl_username=USER, sasl_password=PASSWORD,
        )  # fmt: skip
        by_name = broker.settings("plain", given, redis=redis.url)
        create_topics(by_name)
        save_bundle(settings.bundle)
        tokens.seconds = 8.0
        with Fleet(by_name, tmp_path / "logs") as fleet, EventEmitter(by_name) as shop:
            worker = fleet.ready(settings=settings)
            tokens.answer = 503, f"<html>{PASSWORD}</html>".encode()
            until(lambda: "answers 503" in worker.tail(), "the broker has ended a connection with its token")
            until(lambda: worker.status("/readyz") == 503, "it is not ready")
            print(worker.get("/readyz").json())
            shop.emit(event(1))
            shop.flush()
            tokens.answer, tokens.seconds = None, 600.0
            fleet.finish(worker)
            until(lambda: worker.status("/readyz") == 200, "it is ready again")
            assert worker.stop()[0] == 0
        print(*worker.lines(), sep="\n")
        lines = [line for line in worker.lines() if "stream.security.tokens" in line]
        assert [line.partition(": ")[2].partition(": check")[0] for line in lines] == [
            f"the token endpoint {tokens.url} answers 503",
            f"the token endpoint {tokens.url} gives tokens again",
        ]
        assert PASSWORD not in "".join(worker.lines())
        assert "Traceback" not in "".join(worker.lines())


@pytest.fixture
def afar(broker: SecuredBroker, redis: RedisServer, given: Settings) -> Settings:
    """Settings of a listener that sends its clients where nobody listens."""
    save_bundle(given.bundle)
    address = f"{LOCALHOST}:{broker.ports['AFAR']}"
    return Settings(_env_file=None, **(given.model_dump() | {"kafka": address, "redis": redis.url}))


@pytest.mark.parametrize(
    "command",
    ["topics create", "emit", "watch", "worker", "doctor", "archive -o events.parquet", "dead-letters list"],
)
def test_an_advertised_address_that_cannot_be_reached_is_named_by(
    command: str,
    broker: SecuredBroker,
    afar: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in variables(afar).items():
        monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(create_app(), command.split(), input="")
    assert ended.exit_code == 1
    told = " ".join(ended.output.split()) if command == "doctor" else str(ended.exception)
    assert f"tells clients to connect to {LOCALHOST}:{broker.nowhere}" in told
    assert "change advertised.listeners of the broker (KAFKA_ADVERTISED_LISTENERS in Docker) to an" in told
    assert "set INTENT_KAFKA to another listener" in told
    if command != "doctor":
        assert isinstance(ended.exception, BrokerUnavailable)
        assert "\n" not in told


@contextmanager
def denied(broker: SecuredBroker, kind: ResourceType, name: str, operation: ACLOperation) -> Iterator[None]:
    """Take a right from the user."""
    pattern = ResourcePattern(kind, name)
    rules = [
        ACL("User:*", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, pattern),
        ACL(f"User:{USER}", "*", operation, ACLPermissionType.DENY, pattern),
    ]
    everything = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)
    with KafkaAdminClient(bootstrap_servers=broker.server.address) as admin:

        def hold(number: int) -> bool:
            found, _ = admin.describe_acls(everything)
            return len(found) == number

        assert not admin.create_acls(rules)["failed"]
        until(lambda: hold(len(rules)), "the broker goes by the rules")
        yield
        admin.delete_acls(rules)
        until(lambda: hold(0), "the broker has dropped the rules")


def test_what_a_user_must_not_do_is_named(broker: SecuredBroker, given: Settings) -> None:
    settings = broker.settings("scram-512", given)
    create_topics(settings)
    kafka, events, scores = settings.kafka, settings.events_topic, settings.scores_topic

    def told(ask: Callable[[], object]) -> str:
        with pytest.raises(BrokerError) as refused:
            ask()
        return str(refused.value)

    with denied(broker, ResourceType.TOPIC, scores, ACLOperation.ALL):
        hidden = (
            f"Kafka at {kafka} does not let the user shop see {scores}: allow it to describe, and to read or write, "
            "the topic (kafka-acls.sh)"
        )
        assert told(lambda: ScoreWatcher(settings)) == hidden
        assert told(lambda: asyncio.run(partition_count(settings, scores))) == hidden
    with denied(broker, ResourceType.TOPIC, scores, ACLOperation.READ), ScoreWatcher(settings) as watcher:
        assert told(lambda: next(iter(watcher))) == (
            f"Kafka at {kafka} does not let this client read {scores}: allow it (kafka-acls.sh)"
        )
    with denied(broker, ResourceType.TOPIC, events, ACLOperation.WRITE):
        shop = EventEmitter(settings)
        shop.emit(event(1))
        assert told(shop.close) == (
            f"Kafka did not accept 1 event (e1): it does not let this client write {events}; allow it (kafka-acls.sh); "
            "emit them again"
        )
    with denied(broker, ResourceType.TOPIC, events, ACLOperation.DESCRIBE_CONFIGS):
        assert told(lambda: check_events(settings)) == (
            f"Kafka does not tell message.timestamp.type of {events}: allow this user to describe the topic's "
            "configuration (DESCRIBE_CONFIGS, kafka-acls.sh)"
        )
    with denied(broker, ResourceType.GROUP, settings.group, ACLOperation.READ):
        assert told(lambda: consume(settings, lambda ownership, job: False)) == (
            f"Kafka does not let this worker join the group {settings.group}: allow it to read the group "
            "(kafka-acls.sh)"
        )
        watcher = ScoreWatcher(settings, group=settings.group)
        assert told(watcher.start) == (
            f"Kafka at {kafka} does not let this client read the group {settings.group}: allow it (kafka-acls.sh)"
        )
        watcher.close()
