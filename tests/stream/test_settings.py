from __future__ import annotations

import json
import re
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from features.events import WISH_TYPES, Decoding
from features.exceptions import IntentError
from stream.checkup.machine_checks import settings_checks
from stream.cli import create_app
from stream.exceptions import SettingsError
from stream.settings import Settings, load_settings

PASSWORD = "correct-horse"


def test_defaults_are_those_of_one_machine() -> None:
    settings = load_settings()
    assert (settings.kafka, settings.redis_url) == ("localhost:9092", "redis://localhost:6379/0")
    assert (settings.lateness_ms, settings.state_ttl_ms) == (900_000, 400 * 86_400_000)
    assert settings.events_topic == "intent.events"
    assert settings.scores_topic == "intent.scores"
    assert settings.dead_letters_topic == "intent.dead-letters"


def test_the_environment_comes_before_the_file_and_both_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("INTENT_GROUP=file\nINTENT_HORIZON=2h\nOTHER=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTENT_GROUP", "environment")
    settings = load_settings()
    assert (settings.group, settings.horizon, settings.partitions) == ("environment", timedelta(hours=2), 12)


def test_a_mark_of_the_encoding_at_the_beginning_of_the_file_is_no_part_of_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("INTENT_GROUP=file\nINTENT_TYPO=2\n", encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    assert load_settings().group == "file"
    found = [finding.text for finding in settings_checks(tmp_path) if finding.subject == ".env"]
    assert found == ["INTENT_TYPO is no setting and is passed over"]


def test_a_long_wrong_value_is_shown_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENT_PARTITIONS", "x" * 10_000)
    with pytest.raises(SettingsError, match=r"^INTENT_PARTITIONS = 'x+… is no whole number") as refused:
        load_settings()
    assert len(str(refused.value)) < 500


def test_arguments_come_before_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENT_KAFKA", "environment:1")
    assert load_settings(kafka="argument:1").kafka == "argument:1"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("INTENT_PARTITIONS", "many", " is no whole number; use 1 or more"),
        ("INTENT_PARTITIONS", "0", " is out of range; use 1 or more"),
        ("INTENT_HOLDOUT", "1.5", " is out of range; use 0 to 1"),
        ("INTENT_SESSION_TIMEOUT", "1s", " is out of range; use 10s to 30m"),
        ("INTENT_SESSION_TIMEOUT", "9s", " is out of range; use 10s to 30m"),
        ("INTENT_SESSION_TIMEOUT", "2h", " is out of range; use 10s to 30m"),
        ("INTENT_RECOMMENDATIONS", "maybe", " is neither true nor false"),
        ("INTENT_REASONS", "al", " is unknown; did you mean all? Use off, high, medium, all"),
        ("INTENT_GROUP_INSTANCE", "", " is empty; use 1 to 249 characters"),
        ("INTENT_GROUP_INSTANCE", "w" * 250, " is too long; use 1 to 249 characters"),
        ("INTENT_TOPIC", "", " is empty; use 1 or more characters"),
        ("INTENT_SERVE_KEYS", "", "an empty path: use another one, or leave the variable out"),
        ("INTENT_BUNDLE", " ", "an empty path: use another one, or leave the variable out"),
        ("INTENT_POLICY", "/dev/null", "a pipe or a device, which cannot be read twice: use a file"),
        ("INTENT_POLICY", "p" * 300, "File name too long: use another path"),
        ("INTENT_CURRENCY", "euro", "no currency: use the three letters of ISO 4217, such as EUR"),
        ("INTENT_CURRENCY", "", "no currency: use the three letters of ISO 4217, such as EUR"),
        ("INTENT_CURRENCY", "5 €", "no currency: use the three letters of ISO 4217, such as EUR"),
        ("INTENT_LATENESS", "soon", "use 45s, 30m"),
        ("INTENT_SERVICES", "cloud", "embedded"),
        ("INTENT_HTTP_PORT", "70000", "65535"),
        ("INTENT_SECURITY_PROTOCOL", "TLS", "SASL_SSL"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(
    name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    message = str(refused.value)
    assert message.startswith((f"{name} = {value!r}: ", f"{name} = {value!r} is "))
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("value", ["", " ", "x", "x" * 300, "-1", "9" * 30, "nan", "a b", "[]", "null"])
def test_what_is_wrong_is_never_told_in_words_of_pydantic(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0
    for name in Settings.model_fields:
        with monkeypatch.context() as context:
            context.setenv(f"INTENT_{name.upper()}", value)
            try:
                Settings()
            except ValidationError as error:
                fault = error.errors()[0]
                with pytest.raises(
                    SettingsError, match=f"INTENT_{name.upper()} = .* (use|Use|write) "
                ) as told:
                    load_settings()
                assert fault["type"] == "value_error" or fault["msg"] not in str(told.value)
                refused += 1
    assert refused


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://:{PASSWORD}@r:6379/0", "redis://:***@r:6379/0"),
        (f"rediss://shop:{PASSWORD}@r/1", "rediss://shop:***@r/1"),
        (f"redis://r:6379/0?password={PASSWORD}", "redis://r:6379/0?password=***"),
        (
            f"redis://r:6379/0?db=1&password={PASSWORD}&client_name=x",
            "redis://r:6379/0?db=1&password=***&client_name=x",
        ),
        ("redis://r:6379/0", "redis://r:6379/0"),
        ("redis://shop@r:6379/0", "redis://***@r:6379/0"),
    ],
)
def test_the_password_of_redis_is_masked(url: str, shown: str) -> None:
    settings = load_settings(redis=url)
    assert settings.redis_url == url
    assert settings.masked()["redis"] == shown
    assert PASSWORD not in repr(settings)


def test_the_password_of_kafka_is_masked() -> None:
    settings = load_settings(sasl_username="shop", sasl_password=PASSWORD)
    assert settings.masked()["sasl_password"] == "***"
    assert PASSWORD not in repr(settings)


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_masked_settings_are_plain_json_and_hold_every_field() -> None:
    masked = json.loads(json.dumps(load_settings().masked()))
    assert masked.keys() == Settings.model_fields.keys()
    assert masked["lateness"] == "15m"


def test_kafka_without_security_needs_no_options() -> None:
    settings = load_settings()
    assert settings.aiokafka_security() == settings.kafka_python_security() == {}


@pytest.mark.parametrize("mechanism", [None, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_sasl_reaches_both_clients(mechanism: str | None) -> None:
    settings = load_settings(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism=mechanism,
        sasl_username="shop",
        sasl_password=PASSWORD,
    )
    expected = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism or "PLAIN",
        "sasl_plain_username": "shop",
        "sasl_plain_password": PASSWORD,
    }
    assert settings.aiokafka_security() == expected
    assert settings.kafka_python_security() == expected


def test_aiokafka_gets_a_context_that_checks_the_broker() -> None:
    options = load_settings(security_protocol="SSL").aiokafka_security()
    assert options["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert options["ssl_context"].check_hostname


def test_sasl_without_a_password_says_what_to_set() -> None:
    settings = load_settings(security_protocol="SASL_SSL", sasl_username="shop")
    with pytest.raises(SettingsError, match="set INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD"):
        settings.kafka_python_security()


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    settings = load_settings(security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem")
    with pytest.raises(SettingsError, match=f"INTENT_SSL_CAFILE {tmp_path / 'ca.pem'} cannot be read"):
        settings.aiokafka_security()


def test_the_command_prints_what_is_set_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENT_REDIS", f"redis://:{PASSWORD}@cache:6379/0")
    app, runner = create_app(), CliRunner()
    as_json = json.loads(runner.invoke(app, ["settings", "--json"]).stdout)
    assert as_json["redis"] == "redis://:***@cache:6379/0"
    table = runner.invoke(app, ["settings"])
    assert table.exit_code == 0
    assert "INTENT_STATE_TTL" in table.stdout
    assert PASSWORD not in table.stdout


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_command_cuts_no_word(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("INTENT_REDIS", "redis://a-cache-with-a-long-name.shop.example.com:6379/0")
    shown = CliRunner().invoke(create_app(), ["settings"]).stdout
    masked = load_settings().masked()
    for name, field in Settings.model_fields.items():
        assert f"INTENT_{name.upper()} " in shown or f"INTENT_{name.upper()}\n" in shown
        value = masked[name] if isinstance(masked[name], str) else ""
        assert value in re.sub(r"\n +", "", shown), "whole, or goes on below"
        assert columns == "40" or all(part in shown for part in value.split(",")), "broken behind commas"
        assert set((field.description or "").split()) <= set(shown.split()), name
    assert max(map(len, shown.splitlines())) <= int(columns)
    assert not any(line.endswith(" ") for line in shown.splitlines())


def test_every_error_of_settings_ends_a_command_with_code_1() -> None:
    assert issubclass(SettingsError, IntentError)
    assert SettingsError.exit_code == 1


def test_types_that_are_scored_cannot_be_passed_over() -> None:
    settings = load_settings(ignore_types="page_view, clack", strict=True)
    assert settings.decoding == Decoding(strict=True, ignored=frozenset({"page_view", "clack"}))
    assert load_settings().decoding == Decoding()
    with pytest.raises(SettingsError, match="INTENT_IGNORE_TYPES.*purchase is scored"):
        load_settings(ignore_types="scroll,purchase")
    wishes = load_settings(ignore_types="add_to_wishlist,remove_from_wishlist")
    assert wishes.decoding.ignored == set(WISH_TYPES), "no column tells of them"
