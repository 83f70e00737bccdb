from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from stream.exceptions import SettingsError
from stream.settings import load_settings
from stream.testing.worker_process import variables
from tests.certificates import Authority

PASSWORD = "correct-horse"
LOGIN = {"sasl_username": "shop", "sasl_password": PASSWORD}
ENDPOINT = "https://login.example.com/token"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"sasl_mechanism": "SCRAM-SHA-256"},
            "INTENT_SASL_MECHANISM is set, but INTENT_SECURITY_PROTOCOL is PLAINTEXT, which does not log in: set it to "
            "SASL_SSL or SASL_PLAINTEXT",
        ),
        (
            {"security_protocol": "SSL", **LOGIN},
            "INTENT_SASL_USERNAME is set, but INTENT_SECURITY_PROTOCOL is SSL, which does not log in: set it to "
            "SASL_SSL or SASL_PLAINTEXT",
        ),
        (
            {"security_protocol": "SASL_PLAINTEXT", "ssl_cafile": "ca.pem", **LOGIN},
            "INTENT_SSL_CAFILE is set, but INTENT_SECURITY_PROTOCOL is SASL_PLAINTEXT, which does not encrypt: set it "
            "to SSL or SASL_SSL",
        ),
        (
            {"security_protocol": "SSL", "ssl_keyfile": "own.key"},
            "INTENT_SSL_KEYFILE is set without a certificate: set INTENT_SSL_CERTFILE, too",
        ),
        (
            {"security_protocol": "SSL", "ssl_key_password": PASSWORD},
            "INTENT_SSL_KEY_PASSWORD is set without a certificate: set INTENT_SSL_CERTFILE, too",
        ),
        (
            {"security_protocol": "SASL_SSL", "sasl_username": "shop"},
            "INTENT_SECURITY_PROTOCOL=SASL_SSL needs a login: set INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD",
        ),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"},
            "INTENT_SASL_MECHANISM is OAUTHBEARER, whose tokens come from one place: set either "
            "INTENT_SASL_OAUTH_TOKEN_FILE or INTENT_SASL_OAUTH_TOKEN_ENDPOINT",
        ),
        (
            {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauth_token_endpoint": ENDPOINT,
            },
            "a token endpoint needs a login: set INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD",
        ),
        (
            {"security_protocol": "SASL_SSL", "sasl_oauth_token_file": "token", **LOGIN},
            "INTENT_SASL_OAUTH_TOKEN_FILE is set, but INTENT_SASL_MECHANISM is PLAIN: set it to OAUTHBEARER",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_one_line_for_both_libraries(
    given: dict[str, Any], line: str
) -> None:
    settings = load_settings(**given)
    for options in (settings.kafka_python_security, settings.aiokafka_security):
        with pytest.raises(SettingsError) as refused:
            options()
        assert str(refused.value) == line


def test_a_certificate_and_its_encrypted_key_are_shown_by_both_libraries(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.signed("client", PASSWORD)
    settings = load_settings(
        security_protocol="SSL",
        ssl_cafile=authority.path,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_key_password=PASSWORD,
    )
    for options in (settings.kafka_python_security(), settings.aiokafka_security()):
        context = options["ssl_context"]
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert [dict(one[0] for one in found["subject"]) for found in context.get_ca_certs()] == [
            {"commonName": "authority"}
        ]
    assert PASSWORD not in repr(settings) + repr(settings.security) + str(settings.masked())
    assert variables(settings)["INTENT_SSL_KEY_PASSWORD"] == PASSWORD


def test_files_that_cannot_be_used_are_named_with_their_setting(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.signed("client", PASSWORD)
    _, other = authority.signed("other")
    nothing = tmp_path / "nothing.pem"

    def told(**given: object) -> str:
        with pytest.raises(SettingsError) as refused:
            load_settings(security_protocol="SSL", **given).kafka_python_security()
        assert PASSWORD not in str(refused.value)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    own = {"ssl_certfile": certificate, "ssl_keyfile": key}
    assert told(ssl_cafile=nothing).startswith(f"INTENT_SSL_CAFILE {nothing} cannot be read (No such file")
    assert told(ssl_cafile=key).startswith(f"INTENT_SSL_CAFILE {key} cannot be read (")
    assert told(ssl_certfile=nothing).startswith(f"INTENT_SSL_CERTFILE {nothing} cannot be read (No such")
    assert told(**own | {"ssl_keyfile": nothing}).startswith(f"INTENT_SSL_KEYFILE {nothing} cannot be read (")
    assert told(**own) == f"the key in {key} is encrypted: set INTENT_SSL_KEY_PASSWORD"
    wrong = told(**own, ssl_key_password="wrong")
    assert wrong.startswith(f"the key in {key} does not open (")
    assert wrong.endswith("): check INTENT_SSL_KEY_PASSWORD")
    assert told(**own | {"ssl_keyfile": other}) == (
        f"the key in {other} is not that of the certificate in {certificate}: set INTENT_SSL_KEYFILE to the key that "
        "belongs to INTENT_SSL_CERTFILE"
    )
    assert told(ssl_certfile=certificate).endswith("): set INTENT_SSL_KEYFILE")
    assert told(ssl_certfile=key, ssl_keyfile=other).endswith("): name PEM files")


def test_an_endpoint_with_a_secret_in_its_address_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(sasl_oauth_token_endpoint=f"https://shop:{PASSWORD}@login.example.com/token")
    assert str(refused.value) == (
        "INTENT_SASL_OAUTH_TOKEN_ENDPOINT = 'https://shop:***@login.example.com/token': its client stands in "
        "INTENT_SASL_USERNAME and INTENT_SASL_PASSWORD: leave it out"
    )
    with pytest.raises(SettingsError, match="write https://HOST/PATH"):
        load_settings(sasl_oauth_token_endpoint="file:///etc/passwd")
