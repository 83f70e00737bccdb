from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from stream.cli import create_app
from stream.serving.keys import KeyRing, read_keys


def test_a_key_is_printed_once_listed_without_its_hash_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    runner = CliRunner(env={"INTENT_SERVE_KEYS": str(path)})
    added = runner.invoke(create_app(), ["keys", "add", "crm", "--scope", "read", "--rate", "5"])
    key = added.stdout.strip()
    found = KeyRing(read_keys(path)).of(key)
    assert found is not None and (found.name, found.scopes, found.rate) == ("crm", ("read",), 5.0)
    listed = runner.invoke(create_app(), ["keys", "list", "--json"]).stdout
    assert [one["name"] for one in json.loads(listed)] == ["crm"]
    assert found.sha256 not in listed
    assert runner.invoke(create_app(), ["keys", "remove", "crm"]).exit_code == 0
    assert read_keys(path) == []


def test_without_a_file_of_keys_the_message_names_the_setting() -> None:
    told = CliRunner().invoke(create_app(), ["keys", "list"])
    assert "set INTENT_SERVE_KEYS, or name one by --file" in str(told.exception)
