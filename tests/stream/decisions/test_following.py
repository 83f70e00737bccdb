"""A policy file that changes while it is followed."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from features.bundle import Bundle
from stream.decisions.following import FollowedPolicy, PolicyInForce, followed
from stream.exceptions import SettingsError
from tests.bundles import random_bundle

GOOD = "version: {}\nrules:\n  - {{name: a, action: b}}\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return random_bundle(tmp_path / "bundle")


def test_a_changed_file_comes_into_force(tmp_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(GOOD.format("one"))
    policy = FollowedPolicy(path, bundle, 0.05)
    before = policy.current
    policy.look()
    assert policy.current is before
    path.write_text(GOOD.format("second"))
    policy.look()
    assert policy.current.version.startswith("second-")


def test_a_bad_file_is_told_once_and_the_old_policy_goes_on(
    tmp_path: Path, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(GOOD.format("one"))
    policy = FollowedPolicy(path, bundle, 0.05)
    path.write_text("version: two\nrules: none\n")
    with caplog.at_level(logging.WARNING):
        policy.look()
        policy.look()
    assert policy.current.version.startswith("one-")
    [line] = [record.getMessage() for record in caplog.records]
    assert "p.yaml, line 2 (rules)" in line
    assert policy.refusal
    path.unlink()
    policy.look()
    assert "cannot be read" in policy.refusal
    path.write_text(GOOD.format("third"))
    policy.look()
    assert policy.current.version.startswith("third-")
    assert policy.refusal == ""


def test_a_bad_file_at_the_start_is_a_wrong_setting(tmp_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\n")
    with pytest.raises(SettingsError, match=r"INTENT_POLICY: .*p\.yaml, line 1: 'rules' is missing"):
        followed(path, bundle, 0.05)
    assert isinstance(followed(None, bundle, 0.05), PolicyInForce)
