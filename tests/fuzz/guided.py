"""One target under atheris, which looks at what an input reaches: ``python -m tests.fuzz.guided TARGET -runs=N``."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["features", "stream"]):
    from tests.fuzz.targets import targets


def main() -> None:
    """Run until atheris has had enough, or finds a fault; its own options follow the target's name."""
    name, *options = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    target = targets()[name]()
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup(
            [sys.argv[0], *options, "-print_final_stats=1", corpus], lambda raw: target.take(raw) and None
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
