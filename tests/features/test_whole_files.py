import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.whole_files import whole_file
from stream.cli import main


def test_a_file_appears_when_it_is_whole_with_the_folders_it_needs(tmp_path: Path) -> None:
    wanted = tmp_path / "a" / "b.txt"
    with whole_file(wanted) as partial:
        partial.write_text("whole")
        assert not wanted.exists()
    assert wanted.read_text() == "whole"
    assert list(wanted.parent.iterdir()) == [wanted]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    wanted = tmp_path / "b.txt"
    wanted.write_text("before")
    with pytest.raises(OSError, match="full"), whole_file(wanted) as partial:
        partial.write_text("half")
        raise OSError("the disk is full")
    assert wanted.read_text() == "before"
    assert list(tmp_path.iterdir()) == [wanted]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_what_a_full_disk_says_names_the_file(tmp_path: Path) -> None:
    wanted = tmp_path / "log.parquet"
    rows = pa.table({"a": list(range(100_000))})
    ways = [
        lambda place: place.write_text("x" * 100_000),
        lambda place: pq.write_table(rows, place),
        lambda place: pd.DataFrame({"a": range(100_000)}).to_csv(place),
    ]
    for write in ways:
        with pytest.raises(OSError, match="No space left") as caught, whole_file(wanted) as partial:
            partial.symlink_to("/dev/full")
            write(partial)
        assert caught.value.filename == str(wanted)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_command_that_finds_the_disk_full_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, log = tmp_path / "shop.csv", tmp_path / "log.parquet"
    source.write_text("user,ts\nu-1,2026-03-01T10:00:00Z\n")
    monkeypatch.setattr("secrets.token_hex", lambda size: "chosen")
    log.with_name("log.parquet.chosen.partial").symlink_to("/dev/full")
    columns = ["--columns", "customer_id=user,event_time=ts", "--types", "*=purchase"]
    monkeypatch.setattr("sys.argv", ["intent", "convert", "csv", str(source), "-o", str(log), *columns])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"intent: {log}: No space left on device\n"
    assert [path.name for path in tmp_path.iterdir()] == ["shop.csv"]


def test_a_link_stays_one_and_a_pipe_gets_what_is_written(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "deep" / "file", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(target)
    with whole_file(link) as partial:
        partial.write_text("first")
    assert (link.is_symlink(), target.read_text()) == (True, "first")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(pipe) as partial:
        partial.write_text("second")
    assert (pipe.is_fifo(), os.read(reader, 100)) == (True, b"second")
    os.close(reader)


def test_a_folder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=str(tmp_path)), whole_file(tmp_path):
        raise AssertionError


def test_who_writes_the_same_file_at_the_same_time_does_not_write_into_ours(tmp_path: Path) -> None:
    wanted = tmp_path / "b.txt"
    with whole_file(wanted) as ours:
        ours.write_text("ours")
        with whole_file(wanted) as theirs:
            theirs.write_text("theirs")
        assert wanted.read_text() == "theirs"
    assert wanted.read_text() == "ours"
    assert list(tmp_path.iterdir()) == [wanted]


def test_a_private_file_is_one_from_its_first_byte_on_whatever_was_there(tmp_path: Path) -> None:
    wanted = tmp_path / "keys.json"
    wanted.write_text("for all")
    wanted.chmod(0o644)
    with whole_file(wanted, private=True) as partial:
        assert partial.stat().st_mode & 0o777 == 0o600
        partial.write_text("secret")
    assert (wanted.stat().st_mode & 0o777, wanted.read_text()) == (0o600, "secret")


def test_a_file_that_is_replaced_hands_its_rights_on(tmp_path: Path) -> None:
    wanted = tmp_path / "held.json"
    wanted.write_text("for me")
    for rights in (0o600, 0o664):
        wanted.chmod(rights)
        with whole_file(wanted) as partial:
            partial.write_text("again")
        assert wanted.stat().st_mode & 0o777 == rights


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "ä" * 127):
        with whole_file(tmp_path / name) as partial:
            partial.write_text("whole")
        assert (tmp_path / name).read_text() == "whole"
