"""`intent uplift` on files: what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from features.identity import HandOver, encode_identity
from features.log import write_log
from offline.simulator.logins import with_late_logins
from offline.uplift.analysis import CONVERSION
from offline.uplift.simulated import trial
from stream.cli import create_app
from stream.cli.uplift import shares_of
from stream.decisions.holdout import ARMS, Assignment
from tests.uplift_cases import DAY_MS, Case, case, parameters, shop, write_lines

EFFECT = 0.06


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Path]:
    folder = tmp_path_factory.mktemp("uplift")
    found = case(EFFECT)
    write_log(folder / "events.parquet", found.answered)
    write_lines(folder / "actions.jsonl", found.actions)
    return found, folder


def run(*arguments: object) -> dict[str, object]:
    return json.loads(said("--json", *arguments))


def said(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(create_app(), ["uplift", *map(str, arguments)], env={"COLUMNS": "80"})
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


def files(folder: Path) -> tuple[Path, Path]:
    return folder / "actions.jsonl", folder / "events.parquet"


def test_the_measured_effect_covers_the_true_one(made: tuple[Case, Path]) -> None:
    found, folder = made
    measured = trial(found.log, found.actions, parameters(EFFECT), 3 * DAY_MS, {"v1": 0.3})
    truth = measured.truth
    assert truth is not None
    figures = run(*files(folder), "--window", "3d", "--holdout", 0.3)
    conversion, revenue = figures["effects"]["conversion"], figures["effects"]["revenue"]
    assert conversion["told"] == 1
    assert conversion["difference"] == pytest.approx(measured.uplift.overall[CONVERSION].at().difference)
    assert conversion["lift_low"] <= truth.lift <= conversion["lift_high"]
    assert conversion["low"] <= truth.treated - truth.held_out <= conversion["high"]
    assert revenue["low"] <= truth.revenue_treated - truth.revenue_held_out <= revenue["high"]
    for day in figures["days"]["conversion"]:
        assert day["low"] < day["difference"] < day["high"]


def test_it_begins_with_a_sentence_and_fits_a_terminal(made: tuple[Case, Path], tmp_path: Path) -> None:
    text = said(*files(made[1]), "--window", "3d", "--holdout", 0.3, "-o", tmp_path)
    assert text.startswith("Customers who were contacted bought ")
    lines = text.splitlines()[:-1]
    assert max(map(len, lines)) <= 80
    [at] = [
        number
        for number, line in enumerate(lines)
        if line.split()[:2] == ["segment", "contacted"] and "visit" in lines[number + 1]
    ]
    assert lines[at].split()[-1] == "helps"
    assert lines[at + 1].startswith("visitors")
    assert "held out" in lines[at + 1]
    page = (tmp_path / "uplift.html").read_text()
    assert "may be looked at any day" in page
    assert json.loads((tmp_path / "uplift.json").read_text())["verdict"] == "helps"


def test_where_there_are_too_few_buyers_they_are_told_by_arm(made: tuple[Case, Path], tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text("".join((made[1] / "actions.jsonl").read_text().splitlines(keepends=True)[:150]))
    text = said(few, made[1] / "events.parquet", "--window", "3d", "--holdout", 0.3)
    assert text.startswith("No effect can be told yet: ")
    assert "So far 18 of 108 contacted customers have bought, and 3 of 42 held out." in text


def test_a_wrong_share_is_a_mismatch_and_no_lift_is_shown(made: tuple[Case, Path]) -> None:
    text = said(*files(made[1]), "--holdout", 0.2)
    assert text.startswith("No lift is shown")
    assert "often" not in text
    figures = run(*files(made[1]), "--holdout", 0.2)
    assert (figures["verdict"], figures["effects"], figures["groups"]) == ("mismatch", {}, {})


def test_all_forms_of_files_say_the_same(made: tuple[Case, Path], tmp_path: Path) -> None:
    found, folder = made
    pq.write_table(found.actions, tmp_path / "actions.parquet")
    names = ("event_id", "type", "customer_id", "event_time", "value", "currency")
    table = found.answered.select(names)
    times = table["event_time"].cast(pa.int64())
    table = table.set_column(3, "event_time", times)
    rows = [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores = pa.table(
        {
            "event_id": table["event_id"], "customer_id": table["customer_id"],
            "event_time": found.answered["event_time"], "purchase_intent": pa.repeat(0.1, len(table)),
            "purchase": pc.equal(table["type"], "purchase"),
        }
    )  # fmt: skip
    pq.write_table(scores, tmp_path / "scores.parquet")
    options = ("--window", "3d", "--holdout", 0.3)
    expected = run(*files(folder), *options)
    assert (
        run(tmp_path / "actions.parquet", tmp_path / "events.jsonl", *options)["effects"]
        == expected["effects"]
    )
    of_scores = run(tmp_path / "actions.parquet", tmp_path / "scores.parquet", *options)["effects"]
    assert of_scores == {"conversion": expected["effects"]["conversion"]}


@pytest.fixture(scope="module")
def logged_in(made: tuple[Case, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, Path]:
    """The same customers, of whom four in ten were anonymous before a login: the log, and a folder with files."""
    found, folder = made[0], tmp_path_factory.mktemp("logins")
    log = with_late_logins(found.answered, 0.4)
    write_log(folder / "events.parquet", log)
    owners = dict(zip(log["event_id"].to_pylist(), log["customer_id"].to_pylist(), strict=True))
    names = [owners[one.removeprefix("a-")] for one in found.actions["action_id"].to_pylist()]
    write_lines(folder / "actions.jsonl", with_customers(found.actions, names))
    return log, folder


def with_customers(actions: pa.Table, names: list[str]) -> pa.Table:
    at = actions.schema.get_field_index("customer_id")
    return actions.set_column(at, "customer_id", pa.array(names))


def test_people_who_log_in_are_measured_as_if_they_had_had_one_id(
    made: tuple[Case, Path], logged_in: tuple[pa.Table, Path], tmp_path: Path
) -> None:
    log, folder = logged_in
    options = ("--window", "3d", "--holdout", 0.3)
    wanted = run(*files(made[1]), *options)
    found = run(*files(folder), *options)
    assert {name: found[name] for name in ("customers", "effects", "days", "checks", "groups")} == {
        name: wanted[name] for name in ("customers", "effects", "days", "checks", "groups")
    }
    events = log.filter(pc.not_equal(log["type"], "identify"))
    write_log(tmp_path / "without.parquet", events)
    without = run(folder / "actions.jsonl", tmp_path / "without.parquet", *options)
    lost = wanted["effects"]["conversion"]["mean_treated"] - without["effects"]["conversion"]["mean_treated"]
    assert lost > 0.02, "what is bought after the login is found by the login alone"


def test_logins_among_json_lines_are_followed_and_not_told_as_no_events(
    logged_in: tuple[pa.Table, Path], tmp_path: Path
) -> None:
    log, folder = logged_in
    names = ("event_id", "type", "customer_id", "event_time", "value", "currency")
    times = log["event_time"].cast(pa.int64())
    rows = log.select(names).set_column(3, "event_time", times).to_pylist()
    lines = [
        json.dumps({name: value for name, value in row.items() if value is not None})
        if text is None
        else text
        for row, text in zip(rows, log["identity"].to_pylist(), strict=True)
    ]
    copied = HandOver(
        event_id=rows[0]["event_id"], customer_id="x", anonymous_id="y", event_time=rows[0]["event_time"],
        source=(0, 0, 0), path=["y"], type="merge",
    )  # fmt: skip
    lines.append(encode_identity(copied).decode())
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    options = ("--window", "3d", "--holdout", 0.3)
    found = run(folder / "actions.jsonl", tmp_path / "events.jsonl", *options)
    wanted = run(*files(folder), *options)
    assert (found["effects"], found["notes"]) == (wanted["effects"], wanted["notes"])
    assert not any("no events" in note for note in found["notes"])


def test_people_with_actions_in_two_arms_stay_in_that_of_the_first_and_are_counted(
    made: tuple[Case, Path], logged_in: tuple[pa.Table, Path], tmp_path: Path
) -> None:
    folder, customers = logged_in[1], made[0].actions["customer_id"].to_pylist()
    lines = (folder / "actions.jsonl").read_text().splitlines()
    other = {"treatment": "holdout", "holdout": "treatment"}
    again = [
        row | {"action_id": f"again-{row['action_id']}", "customer_id": customer, "arm": other[row["arm"]]}
        | {"decided_at": row["decided_at"] + 60_000}
        for line, customer in zip(lines, customers, strict=True)
        if (row := json.loads(line))["customer_id"] != customer
    ]  # fmt: skip
    (tmp_path / "actions.jsonl").write_text("\n".join([*lines, *map(json.dumps, again)]))
    options = ("--window", "3d", "--holdout", 0.3)
    found = run(tmp_path / "actions.jsonl", folder / "events.parquet", *options)
    wanted = run(*files(folder), *options)
    assert found["effects"] == wanted["effects"]
    assert found["customers"] == wanted["customers"] | {"in_both_arms_by_a_login": len(again)}
    assert len(again) > 100
    told = " ".join(
        said(tmp_path / "actions.jsonl", folder / "events.parquet", *options, "-o", tmp_path).split()
    )
    assert f"{len(again):,} customers had actions in both arms, under ids that a login has shown" in told
    assert "not biased" in told
    assert "not biased" in (tmp_path / "uplift.html").read_text()


def test_where_nothing_has_an_effect_logins_make_none(tmp_path: Path) -> None:
    log, _ = shop()
    log = with_late_logins(log, 0.5)
    write_log(tmp_path / "events.parquet", log)
    events = log.filter(pc.is_in(log["type"], pa.array(["view_item", "search", "add_to_cart"])))
    times = events["event_time"].cast(pa.int64())
    columns = {"action_id": events["event_id"], "customer_id": events["customer_id"], "decided_at": times}
    first = pa.table(columns).to_pandas().drop_duplicates("customer_id", ignore_index=True)
    arms = Assignment("by each id", "1", 0.3).arms(first["customer_id"].tolist())
    each = {
        "trigger": "rule_holds",
        "action": "offer",
        "purchase_intent": 0.1,
        "band": "high",
        "segment": "all",
    }
    table = first.assign(
        **each,
        arm=[ARMS[arm] for arm in arms],
        experiment="v1",
    )
    write_lines(tmp_path / "actions.jsonl", pa.Table.from_pandas(table))
    found = run(*files(tmp_path), "--window", "3d", "--holdout", 0.3)
    assert found["customers"]["in_both_arms_by_a_login"] > 100
    assert found["customers"]["in_both_arms"] == 0
    assert found["verdict"] == "not told yet", (
        "the arms of people were divided by chance, and nothing was done"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no actions in"),
        ('{"action_id": 1}\n', "the first line is no action"),
    ],
)
def test_a_bad_file_of_actions_is_one_line(
    made: tuple[Case, Path], tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "actions.jsonl"
    file.write_text(text)
    result = CliRunner().invoke(create_app(), ["uplift", str(file), str(made[1] / "events.parquet")])
    assert result.exit_code == 1
    assert message in str(result.exception)


def test_broken_lines_among_good_ones_are_counted(made: tuple[Case, Path], tmp_path: Path) -> None:
    file = tmp_path / "actions.jsonl"
    file.write_text((made[1] / "actions.jsonl").read_text() + "{broken\n")
    assert "1 record is no action" in said(file, made[1] / "events.parquet", "--holdout", 0.3)


def test_a_share_comes_from_the_option_the_version_or_the_setting() -> None:
    versions = ["v1", "v2:0.10", "v3"]
    shares, notes = shares_of(versions, ["v3=0.5"], 0.05)
    assert shares == {"v1": 0.05, "v2:0.10": 0.1, "v3": 0.5}
    assert len(notes) == 1
    assert shares_of(versions, ["0.2"], 0.05) == (dict.fromkeys(versions, 0.2), [])


def test_customers_whom_the_shop_manages_make_the_holdout_a_larger_part_of_the_others() -> None:
    name = Assignment("salt", "spring", 0.1, 0.5).name
    assert shares_of([name], [], 0.05) == ({name: 0.2}, [])


def test_a_version_that_holds_nobody_out_is_left_out_and_named(
    made: tuple[Case, Path], tmp_path: Path
) -> None:
    found, folder = made
    name = Assignment("salt", "old", 0.0).name
    at = found.actions.schema.get_field_index("experiment")
    names = pa.repeat(name, len(found.actions)).cast(found.actions.schema.field(at).type)
    without = found.actions.set_column(at, found.actions.schema.field(at), names)
    log = folder / "events.parquet"
    result = CliRunner().invoke(
        create_app(), ["uplift", str(write_lines(tmp_path / "old.jsonl", without)), str(log)]
    )
    assert result.exit_code == 1
    assert f"Version {name} holds nobody out" in str(result.exception)
    both = pa.concat_tables([found.actions, without.slice(0, 1)])
    text = said(write_lines(tmp_path / "both.jsonl", both), log, "--holdout", "v1=0.3")
    assert "holds nobody out: 1 customer left out." in " ".join(text.split())


@pytest.mark.parametrize("form", ["log.parquet", "log.jsonl", "scores.parquet", "scores.jsonl", "list"])
def test_bots_and_the_shops_own_people_are_left_out_of_both_arms(
    made: tuple[Case, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    found, folder = made
    arms = dict(zip(*(found.actions[name].to_pylist() for name in ("customer_id", "arm")), strict=True))
    others = [
        *[one for one, arm in arms.items() if arm == "treatment"][:30],
        *[one for one, arm in arms.items() if arm == "holdout"][:10],
    ]
    log = found.answered
    apart = pc.is_in(log["customer_id"], pa.array(others))
    path = tmp_path / form
    if form.startswith("scores"):
        traffic = pc.if_else(apart, "bot", None)
        columns = {name: log[name] for name in ("event_id", "customer_id")} | {
            "event_time": log["event_time"].cast(pa.int64()), "purchase_intent": pa.repeat(0.1, len(log)),
            "purchase": pc.equal(log["type"], "purchase"), "traffic": traffic,
        }  # fmt: skip
        log = pa.table(columns)
    elif form == "list":
        (tmp_path / "staff.txt").write_text("\n".join(others))
        monkeypatch.setenv("INTENT_EXCLUDED_CUSTOMERS", str(tmp_path / "staff.txt"))
        path = folder / "events.parquet"
    else:
        at = log.schema.get_field_index("bot")
        log = log.set_column(at, "bot", apart)
    if form.endswith("jsonl"):
        if form == "log.jsonl":
            names = ("event_id", "type", "customer_id", "event_time", "value", "currency", "bot")
            log = log.select(names).set_column(3, "event_time", log["event_time"].cast(pa.int64()))
        rows = [{name: value for name, value in row.items() if value is not None} for row in log.to_pylist()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form != "list":
        pq.write_table(log, path)
    without = found.actions.filter(pc.invert(pc.is_in(found.actions["customer_id"], pa.array(others))))
    options = ("--window", "3d", "--holdout", "v1=0.3")
    figures = run(folder / "actions.jsonl", path, *options)
    monkeypatch.delenv("INTENT_EXCLUDED_CUSTOMERS", raising=False)
    expected = run(write_lines(tmp_path / "without.jsonl", without), folder / "events.parquet", *options)
    assert figures["effects"]["conversion"] == expected["effects"]["conversion"]
    assert figures["notes"] == ["Left out of both arms as bots or the shop's own people: 40 customers."]
    assert expected["notes"] == []


@pytest.mark.parametrize("given", ["0", "1", "v9=0.1", "many"])
def test_an_impossible_share_is_misuse(given: str) -> None:
    with pytest.raises(typer.BadParameter):
        shares_of(["v1"], [given], 0.05)
