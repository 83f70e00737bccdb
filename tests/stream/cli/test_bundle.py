"""`intent bundle`: shelves and signatures from the command line."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from features.bundle import Bundle
from features.exceptions import BundleError
from features.shelf import Slots, changing, read_slots
from features.signing import sign
from stream.cli import create_app
from stream.cli.bundle_shelf import require_better
from stream.learning.judging.rivals import Difference, Judged
from stream.learning.report import Report
from stream.learning.snapshot_store import SnapshotStore
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.features.test_signing import keys

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(create_app(), ["bundle", *(str(argument) for argument in arguments)])


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Return a shelf with two bundles, of which random-6 is live."""
    for seed in (6, 7):
        assert run("add", tmp_path / "shelf", save_bundle(tmp_path / f"b{seed}", seed=seed)).exit_code == 0
    return tmp_path / "shelf"


def test_the_first_bundle_of_a_shelf_is_live_and_the_next_one_waits(shelf: Path, tmp_path: Path) -> None:
    assert read_slots(shelf) == Slots(live="random-6")
    assert Bundle.load(shelf).manifest.version == "random-6"
    assert Bundle.of_shelf(shelf, "random-7").manifest.version == "random-7"
    again = run("add", shelf, tmp_path / "b7")
    assert (again.exit_code, read_slots(shelf)) == (0, Slots(live="random-6"))
    listed = json.loads(run("list", shelf, "--json").stdout)
    assert {one["version"]: one["slot"] for one in listed["bundles"]} == {"random-6": "live", "random-7": ""}


def test_what_killed_writers_left_does_not_come_on_the_shelf(shelf: Path, tmp_path: Path) -> None:
    left, new = "calibration.json.0123456789abcdef.partial", save_bundle(tmp_path / "b8", seed=8)
    for folder in (tmp_path / "b7", new, shelf / "random-6"):
        (folder / left).write_text('{"half": ')
    (shelf / ".adding-1" / "random-8").mkdir(parents=True)
    for seed in (6, 7, 8):
        assert run("add", shelf, tmp_path / f"b{seed}").exit_code == 0
    assert not (shelf / "random-8" / left).exists()
    assert Bundle.of_shelf(shelf, "random-8").manifest.version == "random-8"
    assert not (shelf / ".adding-1").exists()


def test_slots_are_filled_changed_and_emptied(shelf: Path) -> None:
    assert "random-7 is shadow" in run("promote", shelf, "random-7", "--to", "shadow").stdout
    canary = run("promote", shelf, "random-7", "--to", "canary", "--share", "0.05").stdout
    assert "random-7 is canary for 5% of the customers" in canary
    assert run("promote", shelf, "random-7", "--to", "none").stdout == f"{shelf}: random-6 is live\n"
    assert "random-7 is live" in run("promote", shelf, "random-7", "--anyway").stdout
    assert "goes back to random-6" in run("list", shelf).stdout
    assert "random-6 is live" in run("rollback", shelf).stdout
    assert isinstance(run("rollback", shelf).exception, BundleError)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["random-7", "--to", "canary"], "a canary needs it"),
        (["random-7", "--to", "shadow", "--share", "0.1"], "it is for --to canary"),
        (
            ["random-7", "--to", "canary", "--share", "0"],
            "0 is out of range; use a number above 0 and below 1",
        ),
        (["random-6", "--anyway"], "random-6 is live already"),
    ],
)
def test_misuse_is_one_line_and_changes_nothing(shelf: Path, arguments: list[str], said: str) -> None:
    result = run("promote", shelf, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert read_slots(shelf) == Slots(live="random-6")


def test_a_canary_without_a_share_is_refused_before_anything_is_copied(shelf: Path, tmp_path: Path) -> None:
    other = save_bundle(tmp_path / "b8", seed=8)
    assert "a canary needs it" in " ".join(run("add", shelf, other, "--to", "canary").stderr.split())
    assert not (shelf / "random-8").exists()


def test_a_bundle_that_is_taken_for_a_shelf_is_told_as_one(tmp_path: Path) -> None:
    alone = save_bundle(tmp_path / "alone")
    assert f"is a bundle, not a shelf: put it on one with `intent bundle add SHELF {alone}`" in str(
        run("list", alone).exception
    )


def test_what_does_not_fit_does_not_come_on_the_shelf(shelf: Path, tmp_path: Path) -> None:
    other = save_bundle(tmp_path / "dollars", seed=8, currency="USD")
    assert "currency is EUR and USD" in str(run("add", shelf, other).exception)
    (tmp_path / "b7" / "card.html").write_text("new")
    assert "another bundle of the same version" in str(run("add", shelf, tmp_path / "b7").exception)
    assert "is a shelf" in str(run("add", tmp_path / "new", shelf).exception)
    assert "is a bundle" in str(run("add", tmp_path / "b6", tmp_path / "b7").exception)
    assert "its first bundle is live" in " ".join(
        run("add", tmp_path / "new", tmp_path / "b6", "--to", "shadow").stderr.split()
    )
    assert "it has random-7, random-6" in str(run("promote", shelf, "random-9", "--anyway").exception)
    assert sorted(path.name for path in shelf.glob("[!.]*")) == ["random-6", "random-7", "slots.json"]


@pytest.mark.parametrize(
    ("than", "said"),
    [
        (Difference(-0.01, -0.02, -0.001), "random-7 is better than random-6: log-loss -0.0100"),
        (Difference(-0.01, -0.02, 0.0), "is not shown to be better"),
        (Difference(-0.01, None, None), "too few scores, buyers or customers"),
        (Difference(0.01, 0.005, 0.02), "is not shown to be better"),
        (None, "has not judged random-7 beside random-6"),
    ],
)
@pytest.mark.parametrize("bundle", ["random-6", "random-5"])
def test_only_what_is_shown_to_be_better_than_the_live_bundle_is_promoted(
    bundle: str, than: Difference | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = [] if than is None else [
        Judged(version="random-7", since=0, as_of=1, examples=5_000, figures={}, than={"network": than, "blend": than})
    ]  # fmt: skip
    report = Report(
        bundle=bundle, horizon_seconds=1800, mini_batches=1, as_of=1, total={}, windows=[], segments={}, bands={},
        beside=judged,
    )  # fmt: skip
    raw = msgspec.json.encode(report)
    monkeypatch.setattr(SnapshotStore, "quality", lambda store: raw)
    slots = Slots(live="random-6")
    if bundle != slots.live:
        said = "has not judged random-7 beside random-6"
    if "is better" in said:
        assert said in require_better(Settings(_env_file=None), slots, "random-7")
        return
    with pytest.raises(BundleError, match=said):
        require_better(Settings(_env_file=None), slots, "random-7")


@pytest.mark.parametrize(
    ("report_of", "slot", "said"),
    [
        ("random-6", "", "run it as a shadow first"),
        (
            "random-6",
            "shadow",
            "it is a shadow; 1,000 judged scores with 20 purchases are needed, and there are 0",
        ),
        (
            "random-6",
            "canary",
            "it is a canary; 1,000 judged .* when its horizon .30 min. has passed, so wait",
        ),
        ("random-5", "canary", "still of random-5; .*: wait until it follows random-6"),
        ("", "canary", "no learner has published figures; .*: start `intent learner`"),
    ],
)
def test_what_is_being_judged_is_told_with_what_it_lacks(
    report_of: str, slot: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report(
        bundle=report_of, horizon_seconds=1800, mini_batches=1, as_of=1, total={}, windows=[], segments={}, bands={},
    )  # fmt: skip
    raw = msgspec.json.encode(report) if report_of else None
    monkeypatch.setattr(SnapshotStore, "quality", lambda store: raw)
    slots = Slots(live="random-6", shadow="random-7" if slot == "shadow" else None)
    if slot == "canary":
        slots = slots.with_canary("random-7", 0.05)
    with pytest.raises(BundleError, match=said):
        require_better(Settings(_env_file=None), slots, "random-7")


def test_a_canary_with_few_labels_says_how_many_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    than = Difference(-0.01, None, None)
    judged = Judged(
        version="random-7", since=0, as_of=1, examples=312, figures={}, than={"network": than}, buyers=4
    )
    report = Report(
        bundle="random-6", horizon_seconds=1800, mini_batches=1, as_of=1, total={}, windows=[], segments={}, bands={},
        beside=[judged],
    )  # fmt: skip
    monkeypatch.setattr(SnapshotStore, "quality", lambda store: msgspec.json.encode(report))
    said = r"312 of 1,000 scores and 4 of 20 purchases .*; wait, it is a canary and is judged on"
    with pytest.raises(BundleError, match=said):
        require_better(
            Settings(_env_file=None), Slots(live="random-6").with_canary("random-7", 0.05), "random-7"
        )


def test_changes_of_two_processes_come_one_after_the_other(shelf: Path, tmp_path: Path) -> None:
    """Two bundles become live at the same time: the later one takes the place of the earlier one."""
    versions = [f"random-{seed}" for seed in range(8, 10)]
    for seed in range(8, 10):
        assert run("add", shelf, save_bundle(tmp_path / f"b{seed}", seed=seed)).exit_code == 0
    command = (sys.executable, "-c", "from stream.cli import main; main()", "bundle", "promote", str(shelf))
    started = [
        subprocess.Popen([*command, version, "--anyway"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for version in versions
    ]
    assert [process.wait() for process in started] == [0] * len(versions)
    assert all("is live" in process.communicate()[0] for process in started)
    slots = read_slots(shelf)
    assert slots.former[0].version == "random-6"
    assert sorted([*(one.version for one in slots.former), slots.live]) == sorted([*versions, "random-6"])


def test_a_shelf_that_another_process_keeps_is_one_line(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = functools.partial(changing, seconds=0.3)
    monkeypatch.setattr("features.shelf.changing", waits)
    script = (
        f"from features.file_lock import FileLock; lock = FileLock({str(shelf / '.lock')!r}); "
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        for command in (
            ["promote", shelf, "random-7", "--anyway"],
            ["rollback", shelf],
            ["add", shelf, "b7"],
        ):
            assert f"process {other.pid} is changing {shelf}" in str(run(*command).exception)
        assert read_slots(shelf) == Slots(live="random-6")
        other.communicate("\n")
    assert run("promote", shelf, "random-7", "--anyway").exit_code == 0


def test_bundles_are_signed_and_verified(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = keys(tmp_path)
    assert "random-6 is signed" in run("sign", tmp_path / "b6", "--key", private).stdout
    assert "is as it was signed" in run("verify", tmp_path / "b6", "--key", public).stdout
    assert run("verify", tmp_path / "b6").exit_code == 2
    monkeypatch.setenv("INTENT_BUNDLE_KEY", str(public))
    assert "is not signed" in str(run("add", shelf, tmp_path / "b7").exception)
    assert "is not signed" in str(run("promote", shelf, "random-7", "--anyway", "--key", private).exception)
    assert "refused" in run("list", shelf).stdout
    assert "have to be signed: name the private key" in str(
        run("add", tmp_path / "signed", tmp_path / "b6").exception
    )
    assert run("add", tmp_path / "signed", tmp_path / "b6", "--key", private).exit_code == 0
    assert "is as it was signed" in run("verify", tmp_path / "signed").stdout
    assert "good" in run("list", tmp_path / "signed").stdout


def test_with_a_key_slots_change_by_its_private_part_alone(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = keys(tmp_path)
    other, _ = keys(tmp_path, "other")
    for seed in (6, 7):
        sign(shelf / f"random-{seed}", private)
    monkeypatch.setenv("INTENT_BUNDLE_KEY", str(public))
    promote = ("promote", shelf, "random-7", "--anyway")
    assert "slots.json is not signed" in str(run(*promote, "--key", private).exception)
    assert "is not signed" in str(run("verify", shelf).exception)
    assert "is not the private key of" in str(run("sign", shelf, "--key", other).exception)
    assert "random-6 is live" in run("sign", shelf, "--key", private).stdout
    assert "the slots are as they were signed" in run("verify", shelf).stdout
    assert "name the private key" in str(run(*promote).exception)
    assert "is not the private key of" in str(run(*promote, "--key", other).exception)
    assert read_slots(shelf, public).live == "random-6"
    assert "random-7 is live" in run(*promote, "--key", private).stdout
    before = read_slots(shelf, public)
    assert "name the private key" in str(run("rollback", shelf).exception)
    assert "random-6 is live" in run("rollback", shelf, "--key", private).stdout
    assert read_slots(shelf, public).changed_at > before.changed_at
    assert json.loads(run("list", shelf, "--json").stdout)["slots_signature"] == "good"
    monkeypatch.delenv("INTENT_BUNDLE_KEY")
    assert "name the private key" in str(run(*promote).exception), "signed slots stay signed"
