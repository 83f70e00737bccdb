"""Every command that reads files takes damaged ones: no traceback, an exit code that says it, nothing half-written."""

from __future__ import annotations

import os
from pathlib import Path

from tests.bundles import save_bundle
from tests.damage.files import write_good
from tests.damage.run import QUICK, faults_of, run

#: 200 damaged files: each of the good ones in twenty ways. More by the environment: INTENT_TEST_DAMAGE=1000.
SEEDS = int(os.environ.get("INTENT_TEST_DAMAGE", "20"))


def test_damaged_files_end_in_a_result_or_in_one_line(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    faults = run(tmp_path, bundle, range(SEEDS))
    assert not faults, "\n".join(map(str, faults))


def test_good_files_are_taken_by_every_command(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    good = write_good(tmp_path / "good")
    assert set(good) == set(QUICK)
    for path in good.values():
        found = faults_of(path, -1, tmp_path / "copies", bundle)
        assert not found, str(found[0])
