"""What a worker says of the bundle that comes into force."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from features.bundle import MANIFEST, Bundle, read_manifest
from features.traffic import DEFAULT_BOTS, BotRule
from stream.scoring.engine import engine_of
from stream.scoring.in_force import tell_of_bots
from stream.settings import Settings
from tests.bundles import save_bundle

POLICY = """
version: a
traffic:
  bots:
    - name: {name}
      when: {{view_item_1m: at least {least}}}
rules:
  - name: help
    when: {{band: high}}
    action: assist_checkout
"""


def trained(folder: Path, bots: list[BotRule] | None) -> Bundle:
    manifest = read_manifest(save_bundle(folder))
    assert manifest is not None
    (folder / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, bots=bots)))
    return Bundle.load(folder)


def test_the_rules_by_which_bots_were_left_out_of_training_come_back_as_they_were_saved(
    tmp_path: Path,
) -> None:
    assert trained(tmp_path, list(DEFAULT_BOTS)).manifest.bots == list(DEFAULT_BOTS)


@pytest.mark.parametrize(
    ("bots", "said"),
    [
        (None, ""),
        ([BotRule("renamed", {"view_item_1m": "at least 30"})], ""),
        (
            [BotRule("mine", {"view_item_1m": "at least 20"})],
            "of bundle random-6: only the policy has reads fast; only the training had mine; train again",
        ),
        ([], "only the policy has reads fast; train again"),
    ],
)
def test_a_worker_says_if_its_policy_knows_bots_by_other_rules_than_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bots: list[BotRule] | None, said: str
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(name="reads fast", least=30))
    settings = Settings(_env_file=None, policy=policy)
    tell_of_bots(engine_of(settings, trained(tmp_path / "bundle", bots)))
    assert (said in caplog.text) if said else not caplog.records


def test_without_a_policy_of_its_own_a_worker_has_the_rules_of_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tell_of_bots(engine_of(Settings(_env_file=None), trained(tmp_path, list(DEFAULT_BOTS))))
    assert not caplog.records
