from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from stream.decisions.following import FollowedFile
from stream.serving.keys import FollowedKeys, KeyRing, KeysError, add_key, read_keys, remove_key


def test_a_key_is_known_by_its_text_and_stored_without_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "crm", ["read"], 50.0, 1)
    found = KeyRing(read_keys(path)).of(key)
    assert found is not None
    assert (found.name, found.scopes, found.rate) == ("crm", ("read",), 50.0)
    assert found.allows("read") and not found.allows("erase")
    assert key.rsplit("_", 1)[1] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "change", [lambda k: k[:-1], lambda k: k + "a", lambda k: k[:-1] + "é", lambda k: "", str.upper]
)
def test_another_text_is_no_key(tmp_path: Path, change: object) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "crm", ["read"], 50.0, 1)
    assert KeyRing(read_keys(path)).of(change(key)) is None  # type: ignore[operator]


def test_the_secret_of_one_key_does_not_open_another(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first, second = (add_key(path, name, ["read"], 50.0, 1) for name in ("crm", "shop"))
    mixed = first[:16] + second[16:]
    assert KeyRing(read_keys(path)).of(mixed) is None
    assert KeyRing([]).of(first) is None


def test_a_name_is_taken_once_and_a_removed_key_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "crm", ["read"], 50.0, 1)
    with pytest.raises(KeysError, match="has a key 'crm' already"):
        add_key(path, "crm", ["read"], 50.0, 1)
    with pytest.raises(KeysError, match="has no key 'shop'"):
        remove_key(path, "shop")
    followed: FollowedFile[KeyRing] = FollowedKeys(path)
    assert followed.current.of(key) is not None
    remove_key(path, "crm")
    followed.look()
    assert followed.current.of(key) is None


def test_a_file_that_breaks_leaves_the_former_keys_in_force(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "crm", ["read"], 50.0, 1)
    followed = FollowedKeys(path)
    path.write_text(json.dumps({"keys": [{"id": 1}]}))
    followed.look()
    assert followed.current.of(key) is not None
    assert "is no file of keys" in followed.refusal


@pytest.mark.parametrize("name", ["", "a b", "-x", "a" * 65, "a\n"])
def test_a_name_that_cannot_stand_in_a_line_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeysError, match="invalid name"):
        add_key(tmp_path / "keys.json", name, ["read"], 50.0, 1)
