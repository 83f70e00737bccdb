"""Files that appear whole or not at all, whatever ends the writing: a full disk, an interrupt, a mistake.

A writer that is killed leaves what it had written so far in a file whose name ends in ``.partial`` (`is_partial`).
Nobody reads it, and nobody removes it: who writes the same file next cannot know whether its writer still runs.

Who follows such a file, as a running program does, asks for its mark now and then.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

# So much of a file's name is in that of its partial one: a name has 255 bytes at most, and a character up to four.
_SHOWN: Final = 50
_RANDOM_BYTES: Final = 8
_PARTIAL: Final = re.compile(rf".+\.[0-9a-f]{{{2 * _RANDOM_BYTES}}}\.partial", re.DOTALL)


@contextmanager
def whole_file(path: str | Path, *, private: bool = False) -> Iterator[Path]:
    """Give a path to write to; the file appears under its own name when the block has ended well.

    Folders that are missing are made. A file that was there before stays as it is if the block fails. A link stays one,
    and what is no file, as a pipe or a terminal, is written to in the end. Whoever else writes the same file meanwhile
    has another path.

    Parameters
    ----------
    private
        Whether nobody but the user may read the file, from its first byte on. Else a file that is replaced hands its
        rights on, in the same way.

    Raises
    ------
    IsADirectoryError
        There is a folder of that name; before anything is written.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        with TemporaryDirectory() as folder:
            partial = Path(folder) / path.name
            yield partial
            with partial.open("rb") as content, path.open("wb") as out:
                shutil.copyfileobj(content, out)
        return
    path = path.resolve()  # what a link leads to, in whose folder the partial file is
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name[:_SHOWN]}.{secrets.token_hex(_RANDOM_BYTES)}.partial")
    try:
        with writing(path, partial):
            rights = 0o600 if private else stat.S_IMODE(path.stat().st_mode) if path.exists() else None
            if rights is not None:
                os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                partial.chmod(rights)
            yield partial
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def is_partial(name: str) -> bool:
    """Return whether a file's name is one that `whole_file` gives to what is being written, or was when it was killed.

    Examples
    --------
    >>> is_partial("model.onnx.0123456789abcdef.partial"), is_partial("model.partial")
    (True, False)
    """
    return _PARTIAL.fullmatch(name) is not None


@contextmanager
def writing(path: str | Path, partial: Path | None = None) -> Iterator[None]:
    """Name a file in what the system says while it is written: a full disk does not say of which file it speaks.

    Parameters
    ----------
    partial
        Where it is written to, which people need not know.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, None if partial is None else str(partial)):
            error.filename, error.filename2 = str(path), None
        raise


def file_mark(path: str | Path) -> tuple[int, int, int] | None:
    """Return what differs when a file has changed, by one stat; ``None`` where there is no file."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
