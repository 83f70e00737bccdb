from __future__ import annotations

from pathlib import Path

import pytest

from stream.checkup.finding import Finding, Level
from stream.checkup.machine_checks import serve_checks, settings_checks
from stream.serving.keys import add_key, remove_key
from stream.settings import load_settings


def _found(path: Path | None, host: str = "127.0.0.1") -> list[Finding]:
    return list(serve_checks(load_settings(serve_keys=path, serve_host=host)))


def test_keys_of_the_service_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, "till", ["read"], 1.0, 0)
    add_key(path, "crm", ["read"], 1.0, 0)
    assert _found(path, "0.0.0.0") == [Finding(Level.GOOD, "keys of the service", f"{path} holds 2 keys")]
    remove_key(path, "till")
    remove_key(path, "crm")
    [found] = _found(path)
    assert found.level is Level.WARNING
    assert "holds no key" in found.text


@pytest.mark.parametrize("content", [None, "no keys\n", '{"keys": [{"id": "a"}]}'])
def test_a_file_of_keys_that_cannot_be_used_is_wrong(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    [found] = _found(path)
    assert (found.level, found.subject) == (Level.WRONG, "keys of the service")
    assert found.text.startswith("INTENT_SERVE_KEYS")
    assert str(path) in found.text
    assert found.remedy.endswith("make one with `intent keys add`")


def test_a_service_for_others_without_keys_is_wrong() -> None:
    [found] = _found(None, "0.0.0.0")
    assert found.level is Level.WRONG
    assert "INTENT_SERVE_HOST is 0.0.0.0" in found.text
    assert "INTENT_SERVE_KEYS" in found.remedy
    assert _found(None) == [], "nothing to look at"


def test_an_env_that_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    [found] = [finding for finding in settings_checks(tmp_path) if finding.subject == ".env"]
    assert (found.level, found.text) == (
        Level.WARNING,
        f"{tmp_path}/.env is a folder, so no settings are read from it",
    )
