"""The peers in Java: built by Maven when they are first needed, and again when their sources have changed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from features.events import EVENT_TYPES

_FOLDER: Final = Path(__file__).with_name("java")
_TARGET: Final = _FOLDER / "target"
_STAMP: Final = _TARGET / "built-from"
#: Of every peer. The heap holds the states of a million customers; the broker needs the machine's memory as well.
_OPTIONS: Final = ("-Xmx1g",)
# 280 MB of jars the first time, over a slow line.
_BUILD_SECONDS: Final = 900.0
# What Maven says first, without headings and the rest of a long line.
_ERROR: Final = re.compile(r"\[ERROR\] (.{20,300})")

#: What a peer in Java is told beside its `Task`.
SETTINGS: Final = {"BENCH_KINDS": ",".join(EVENT_TYPES)}


class NotBuilt(RuntimeError):
    """The peers in Java are not to be had here."""


def command(peer: str, *arguments: str) -> Sequence[str]:
    """Return what starts a peer: a class of the package ``bench``."""
    classes = os.pathsep.join([str(_TARGET / "peers.jar"), str(_TARGET / "jars" / "*")])
    return ("java", *_OPTIONS, "-cp", classes, f"bench.{peer}", *arguments)


def built() -> bool:
    """Return whether the jars are there, made from the sources as they are, and a Java to run them."""
    return (
        shutil.which("java") is not None
        and _STAMP.exists()
        and _STAMP.read_text(encoding="ascii") == _digest()
    )


def build() -> None:
    """Build the jars.

    Raises
    ------
    NotBuilt
        Java or Maven is missing, or Maven failed, as it does where it cannot download.
    """
    if missing := [name for name in ("java", "javac", "mvn") if shutil.which(name) is None]:
        raise NotBuilt(f"{' and '.join(missing)} not found: they take a JDK of 17 or later and Maven")
    # Without "clean" the jars of former versions would stay on the class path.
    shutil.rmtree(_TARGET, ignore_errors=True)
    try:
        done = subprocess.run(
            ("mvn", "--quiet", "--batch-mode", "package"),
            cwd=_FOLDER,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NotBuilt(f"Maven took more than {_BUILD_SECONDS / 60:.0f} minutes") from None
    if done.returncode != 0:
        said = _ERROR.search(done.stdout + done.stderr)
        raise NotBuilt(f"Maven failed: {said[1] if said else f'exit code {done.returncode}'}")
    _STAMP.write_text(_digest(), encoding="ascii")


def _digest() -> str:
    """Return a fingerprint of the sources."""
    digest = hashlib.sha256()
    for path in sorted([_FOLDER / "pom.xml", *(_FOLDER / "src").rglob("*")]):
        if path.is_file():
            digest.update(f"{path.relative_to(_FOLDER).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
