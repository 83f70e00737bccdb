"""Run the whole matrix: `python -m tests.damage [FIRST_SEED] [SEEDS] [quick]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.bundles import save_bundle
from tests.damage.files import write_good
from tests.damage.run import faults_of


def main() -> None:
    """Print every fault as soon as it is found, and end with 1 if there is any."""
    words = [word for word in sys.argv[1:] if word.isdigit()]
    first, count = int(words[0]) if words else 0, int(words[1]) if len(words) > 1 else 20
    found = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = save_bundle(folder / "bundle")
        good = write_good(folder / "good")
        for seed in range(first, first + count):
            for path in good.values():
                for fault in faults_of(path, seed, folder / "damaged", bundle, slow="quick" not in sys.argv):
                    print(fault, flush=True)
                    found += 1
    print(f"{count * len(good)} damaged files, {found} faults")
    sys.exit(found > 0)


main()
