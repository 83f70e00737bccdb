"""`intent evaluate`: bundles side by side."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner, Result

from features.bundle import MANIFEST, Bundle
from features.log import read_log, write_log
from offline.training.streamed import judged
from stream.cli import create_app
from tests.bundles import save_bundle
from tests.integration.shop_logs import simulated

SINCE = "2000-01-01"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Return two bundles and a log."""
    folder = tmp_path_factory.mktemp("evaluate")
    log = folder / "log.parquet"
    write_log(log, simulated(300, days=7, seed=3))
    return save_bundle(folder / "old", seed=6), save_bundle(folder / "new", seed=7), log


def run(*arguments: object) -> Result:
    return CliRunner().invoke(create_app(), [str(argument) for argument in arguments])


def test_the_figures_are_those_of_the_scores_that_intent_score_writes(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    old, new, log = files
    told = run("evaluate", log, "--bundle", old, "--bundle", new, "--since", SINCE, "--json")
    found = json.loads(told.stdout)
    assert found["moments"] > 200
    for folder, one in zip((old, new), found["bundles"], strict=True):
        scores = tmp_path / f"{folder.name}.parquet"
        assert run("score", log, "--bundle", folder, "-o", scores).exit_code == 0
        table = pq.read_table(scores)
        known = judged(
            read_log(log), table["event_id"], table["as_of"].cast("int64").to_numpy(),
            Bundle.load(folder).manifest, since=0, lateness_ms=15 * 60_000,
        )  # fmt: skip
        assert found["moments"] == len(known.labels)
        own = table["purchase_intent"].to_numpy()[known.scores]
        assert one["auc"] == pytest.approx(roc_auc_score(known.labels, own))
    first, second = found["bundles"]
    assert first["difference"] == {}
    assert second["difference"]["auc"]["value"] == pytest.approx(second["auc"] - first["auc"])


def test_people_read_which_is_better_or_that_the_log_does_not_tell(files: tuple[Path, Path, Path]) -> None:
    old, new, log = files
    told = run("evaluate", log, "--bundle", old, "--bundle", old, "--since", SINCE).stdout
    assert f"This log does not tell which of {old} and {old} is better" in told
    assert "expected AUC" in told
    told = run("evaluate", log, "--bundle", old, "--bundle", new, "--since", SINCE, "--json")
    apart = json.loads(told.stdout)["bundles"][1]["difference"]["log_loss"]
    read = run("evaluate", log, "--bundle", old, "--bundle", new, "--since", SINCE).stdout
    better = new if apart["value"] < 0 else old
    assert (f"{better} is better than" in read) == apart["told"]


def test_a_policy_says_what_each_bundle_would_do(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    old, new, log = files
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: mine\nrules:\n  - {name: all, action: greet}\n")
    arguments = ("evaluate", log, "--bundle", old, "--bundle", new, "--since", SINCE, "--policy", policy)
    found = json.loads(run(*arguments, "--json").stdout)
    assert all(one["actions"]["greet"] > 0 for one in found["bundles"])
    assert "greet" in run(*arguments).stdout


def test_bundles_that_foresee_different_things_are_not_compared(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    old, _, log = files
    other = save_bundle(tmp_path / "other", seed=8)
    manifest = msgspec.json.decode((other / MANIFEST).read_bytes())
    (other / MANIFEST).write_bytes(msgspec.json.encode(manifest | {"horizon_seconds": 86_400.0}))
    told = run("evaluate", log, "--bundle", old, "--bundle", other, "--since", SINCE)
    assert told.exit_code == 1
    assert "do not foresee the same: horizon seconds is" in str(told.exception)


def test_a_log_without_known_outcomes_is_one_line(files: tuple[Path, Path, Path]) -> None:
    old, _, log = files
    told = run("evaluate", log, "--bundle", old, "--since", "2999-01-01")
    assert told.exit_code == 1
    assert "has no score that can be judged from 2999-01-01 00:00 UTC on" in str(told.exception)
