"""`intent policy`, and the actions of `intent score`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from features.log import write_log
from features.traffic import DEFAULT_BOTS
from stream.cli import create_app
from stream.cli.left_out import left_out
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import policy_version
from stream.messages.action import decode_action
from stream.settings import load_settings
from tests.bundles import save_bundle
from tests.stream.logs.logs import random_log

POLICY = """
version: mine
rules:
  - {name: left, trigger: cart_abandoned, after: 1m, action: remind, when: {segment: [loyal, royal]}}
  - {name: all, action: greet}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return a bundle, a log and a policy file."""
    policy, log = tmp_path / "p.yaml", tmp_path / "log.parquet"
    policy.write_text(POLICY)
    write_log(log, random_log(400, 5))
    return save_bundle(tmp_path / "bundle"), log, policy


def run(*arguments: object) -> Result:
    return CliRunner().invoke(create_app(), [str(argument) for argument in arguments])


def test_show_tells_by_what_machines_are_known() -> None:
    assert "bot, reads fast: view_item_1m: at least 30" in run("policy", "show").stdout


def test_models_learn_of_whom_the_policy_and_the_list_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert left_out(load_settings()) == (DEFAULT_BOTS, frozenset())
    policy, staff = tmp_path / "p.yaml", tmp_path / "staff.txt"
    policy.write_text(POLICY + "traffic: {bots: []}\n")
    staff.write_text("anna\n")
    monkeypatch.setenv("INTENT_POLICY", str(policy))
    monkeypatch.setenv("INTENT_EXCLUDED_CUSTOMERS", str(staff))
    assert left_out(load_settings()) == ((), {"anna"})


def test_a_good_file_is_told_and_unknown_segments_are_warned_of(files: tuple[Path, Path, Path]) -> None:
    bundle, _, policy = files
    result = run("policy", "check", policy, "--bundle", bundle)
    assert result.exit_code == 0
    assert "good, policy mine with 2 rules" in result.stdout
    assert "segment 'royal'" in result.stderr


def test_the_policy_of_the_program_is_a_beginning_for_ones_own() -> None:
    result = run("policy", "show", "--yaml")
    assert parse_policy(result.stdout).version == "default-1"
    assert "of the program (INTENT_POLICY is not set)" in result.stderr


def test_what_is_shown_is_the_file_of_the_setting_or_why_it_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(POLICY)
    monkeypatch.setenv("INTENT_POLICY", str(policy))
    printed = run("policy", "show", "--yaml")
    assert printed.stdout == POLICY
    version = policy_version(parse_policy(POLICY))
    assert f"policy {version} of {policy} (INTENT_POLICY)" in printed.stderr
    assert f"policy {version} of {policy} (INTENT_POLICY)" in run("policy", "show").stdout
    policy.write_text(POLICY.replace("trigger", "tigger"))
    for options in ([], ["--yaml"]):
        bad = run("policy", "show", *options)
        assert (bad.exit_code, bad.stdout) == (1, "")
        assert "did you mean trigger?" in str(bad.exception)
        assert "A running worker keeps the policy of before" in str(bad.exception)


def test_a_dry_run_counts_what_both_policies_do(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    bundle, log, policy = files
    actions = tmp_path / "actions.jsonl"
    told = run("policy", "dry-run", policy, log, "--bundle", bundle, "--json", "-o", actions)
    found = json.loads(told.stdout)
    written = [decode_action(line) for line in actions.read_bytes().splitlines()]
    assert found["versions"]["policy"].startswith("mine-")
    carried = [action for action in written if action.arm == "treatment"]
    assert found["total"]["policy"] == len(carried) > 0
    assert found["action"]["greet"] == {"against": 0, "policy": sum(a.action == "greet" for a in carried)}
    for kind in ("action", "segment", "day"):
        assert sum(counts["policy"] for counts in found[kind].values()) == len(carried)
    whose = {kind: counts["policy"] for kind, counts in found["traffic"].items()}
    assert whose.keys() == {"customer", "bot", "staff"}
    assert min(whose["customer"], whose["bot"]) > whose["staff"] == 0
    undone = [action for action in written if action.arm != "treatment"]
    assert found["left_alone"]["policy"] == len(undone) > 0
    assert found["customers"]["policy"] == len({action.customer_id for action in carried})
    assert found["customers_left_alone"]["policy"] == len({action.customer_id for action in undone})
    for side in ("against", "policy"):
        sent = sum(counts["sent"] for counts in found["rule"][side].values())
        assert sent == found["total"][side] + found["left_alone"][side], "the tables can be reconciled"
    tables = run("policy", "dry-run", policy, log, "--bundle", bundle).stdout
    assert "all carried out" in tables
    assert "Actions by segment" in tables
    assert "Events by traffic" in tables


def test_rules_of_traffic_are_those_of_the_policy_that_is_tried(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    bundle, log, policy = files
    strict = tmp_path / "strict.yaml"
    strict.write_text(POLICY + "traffic: {bots: [{name: any, when: {events: at least 1}}]}\n")
    told = run("policy", "dry-run", strict, log, "--bundle", bundle, "--against", policy, "--json")
    found = json.loads(told.stdout)
    assert (found["total"]["policy"], found["traffic"]["customer"]["policy"]) == (0, 0)
    assert found["total"]["against"] > 0
    assert found["traffic"]["customer"]["against"] > 0


def test_a_log_gives_the_same_actions_by_score_and_by_dry_run(
    files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, log, policy = files
    lines, table = tmp_path / "a.jsonl", tmp_path / "a.parquet"
    run("policy", "dry-run", policy, log, "--bundle", bundle, "-o", lines)
    monkeypatch.setenv("INTENT_POLICY", str(policy))
    told = run("score", log, "--bundle", bundle, "-o", tmp_path / "s.parquet", "--actions", table, "--json")
    written = [decode_action(line) for line in lines.read_bytes().splitlines()]
    read = pq.read_table(table)
    assert read["action_id"].to_pylist() == [action.action_id for action in written]
    assert read["purchase_intent"].to_pylist() == [action.purchase_intent for action in written]
    assert json.loads(told.stdout)["actions"] == len(written)
    assert set(pq.read_table(tmp_path / "s.parquet")["action"].to_pylist()) == {"greet", "none"}


def test_an_ending_that_says_no_form_is_refused(files: tuple[Path, Path, Path]) -> None:
    bundle, log, policy = files
    result = run("policy", "dry-run", policy, log, "--bundle", bundle, "-o", "actions.csv")
    assert result.exit_code == 2
    assert ".parquet or .jsonl" in result.stderr
