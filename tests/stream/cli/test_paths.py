"""What a command reads and writes is checked before any work."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream import cli
from stream.cli import create_app, main

CONVERT = ("--columns", "customer_id=client,event_time=when", "--types", "*=purchase")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "shop.csv"
    path.write_text("client,when\nk1,2024-01-31 10:00\n")
    os.symlink(path, "link")
    os.link(path, "same")
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "csv", "shop.csv", "-o", "./shop.csv", *CONVERT], "not .csv: name it shop.parquet"),
        (["convert", "csv", "-o", "shop.csv", "shop.csv", *CONVERT], "not .csv: name it shop.parquet"),
        (["convert", "csv", "shop.csv", "-o", "new/shop.csv", *CONVERT], "name it new/shop.parquet"),
        (["convert", "csv", "same", "-o", "./same", *CONVERT], "same is read and written"),
        (["convert", "csv", "shop.csv", "-o", "link", *CONVERT], "shop.csv is read and written"),
        (["convert", "csv", "shop.csv", "-o", "same", *CONVERT], "shop.csv is read and written"),
        (
            ["convert", "csv", ".", "-o", "log.parquet", *CONVERT],
            "log.parquet lies in the folder that is read",
        ),
        (["convert", "csv", "shop.csv", "-o", "shop.csv/log.parquet", *CONVERT], "shop.csv is a file"),
        (["convert", "csv", "shop.csv", "-o", "/dev/null", *CONVERT], "/dev/null is no regular file"),
        (["convert", "csv", "shop.csv", "-o", "/proc/log.parquet", *CONVERT], "/proc takes no files"),
        (["score", "shop.csv", "-o", "shop.csv"], "shop.csv is read and written"),
        (["train", "shop.csv", "-o", "shop.csv"], "shop.csv is a file: name a folder"),
        (["report", "shop.csv", "-o", "shop.csv"], "shop.csv is a file: name a folder"),
    ],
)
def test_an_output_that_cannot_be_is_one_line_before_any_work(
    shop: Path, arguments: list[str], message: str
) -> None:
    before = shop.read_bytes()
    ended = CliRunner().invoke(create_app(), arguments)
    assert ended.exit_code == 2  # noqa: PLR2004  (misuse)
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert shop.read_bytes() == before


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (b"client\nk1\n", "shops/shop.csv has no column 'when'"),
        (b"", "shops/shop.csv is empty"),
        (
            b"client,when\nk1,noon\n",
            "in 1 rows of shops/shop.csv (unreadable time: 1, first row 1, column 'when'",
        ),
        (b"client,when\nk\xff,2024-01-31\n", "cannot read shops/shop.csv"),
    ],
)
def test_a_conversion_names_a_file_as_it_was_typed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    written: bytes,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shops").mkdir()
    Path("shops/shop.csv").write_bytes(written)
    monkeypatch.setattr(
        "sys.argv", ["intent", "convert", "csv", "shops/shop.csv", "-o", "log.parquet", *CONVERT]
    )
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert message in told
    assert told.count("shop.csv") == told.count("shops/shop.csv") == 1


@pytest.mark.parametrize(
    "arguments", [["customer", "export", "c-17"], ["archive"], ["archive", "-o", "new.parquet", "--actions"]]
)
@pytest.mark.parametrize("output", ["folder.parquet", "file/new.parquet"])
def test_what_cannot_be_written_is_told_before_anybody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTENT_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("INTENT_REDIS", "redis://127.0.0.1:1")
    Path("folder.parquet").mkdir()
    Path("file").touch()
    option = [] if arguments[-1] == "--actions" else ["-o"]
    ended = CliRunner().invoke(create_app(), [*arguments, *option, output])
    assert ended.exit_code == 2, ended.output
    assert re.search(r"is a (folder|file): name a (file|folder)", " ".join(ended.stderr.split()))


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["customer", "export", "c-17", "-o", "held.json"], "--output"),
        (["archive", "-o", "events.parquet"], "--output"),
        (["archive", "-o", "new.parquet", "--actions", "actions.parquet"], "--actions"),
    ],
)
def test_a_file_that_may_be_the_only_copy_is_kept_unless_it_is_to_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "INTENT_KAFKA", "127.0.0.1:1"
    )  # nobody is there: a file is looked at before anybody is asked
    monkeypatch.setenv("INTENT_REDIS", "redis://127.0.0.1:1")
    old = Path(arguments[-1])
    old.write_text("of last week")
    ended = CliRunner().invoke(create_app(), arguments)
    assert (ended.exit_code, ended.stderr.count("\n")) == (2, 1)
    assert (
        f"'{option}': {old} is there already: add --replace to give it up, or name another file"
        in ended.stderr
    )
    asked = CliRunner().invoke(create_app(), [*arguments, "--replace"])
    assert "127.0.0.1:1" in str(asked.exception)
    assert old.read_text() == "of last week"


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "log.parquet")

    monkeypatch.setattr(cli, "create_app", lambda: full)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "intent: log.parquet: No space left on device\n"


def test_actions_are_not_archived_over_the_events(tmp_path: Path) -> None:
    both = tmp_path / "both.parquet"
    result = CliRunner().invoke(
        create_app(), ["archive", "-o", str(both), "--actions", str(tmp_path / "." / "both.parquet")]
    )
    assert result.exit_code == 2
    assert "is the file of the events" in " ".join(result.output.replace("│", " ").split())


def test_a_path_that_no_file_can_have_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.parquet").symlink_to("two.parquet")
    Path("two.parquet").symlink_to("one.parquet")
    for name, reason in (
        (f"{'a' * 300}.parquet", "File name too long"),
        ("one.parquet", "leads back to itself"),
    ):
        monkeypatch.setattr("sys.argv", ["intent", "simulate", "--customers", "5", "-o", name])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in {1, 2}
        assert reason in " ".join(capsys.readouterr().err.split())
