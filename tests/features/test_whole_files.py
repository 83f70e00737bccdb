from pathlib import Path

import pytest

from features.whole_files import whole_file


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
