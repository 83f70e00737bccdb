"""Values that are checked while options are read, so that a wrong one ends in one line before any work.

Each function is the callback of an argument or option: it returns the value as it is, or raises
`typer.BadParameter`, which names the option.
"""

from __future__ import annotations

import os
from pathlib import Path

import typer

__all__ = [
    "existing_file_or_stdin",
    "duration",
    "encoding",
    "existing_file",
    "existing_log",
    "existing_path",
    "output_file",
    "output_folder",
]


def existing_path(path: Path | None) -> Path | None:
    """Check that there is a file or a folder."""
    if path is not None and not path.exists():
        raise typer.BadParameter(f"{path} does not exist")
    return path


def existing_file(path: Path | None) -> Path | None:
    """Check that there is a file."""
    if path is not None and existing_path(path) and path.is_dir():
        raise typer.BadParameter(f"{path} is a folder: name a file")
    return path


def existing_file_or_stdin(path: Path) -> Path:
    """Check that there is a file; - is standard input."""
    return path if str(path) == "-" else existing_file(path) or path


def existing_log(path: Path | None) -> Path | None:
    """Check that there is a file, and say how to make a log if there is none."""
    if path is not None and not path.exists():
        raise typer.BadParameter(
            f"{path} does not exist: make a log with `intent convert` or `intent simulate`"
        )
    return existing_file(path)


def output_file(path: Path | None) -> Path | None:
    """Check that a file can be written here; its folder may be missing."""
    if path is None:
        return None
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder: name a file")
    output_folder(path.parent)
    return path


def output_folder(path: Path) -> Path:
    """Check that files can be written into this folder; it may be missing."""
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise typer.BadParameter(f"{there} is a file: name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{there} is not writable: name another folder")
    return path


def duration(text: str | None) -> str | None:
    """Check that a text is a duration."""
    from features.durations import parse_duration
    from features.exceptions import IntentError

    if text is not None:
        try:
            parse_duration(text)
        except IntentError as error:
            raise typer.BadParameter(str(error)) from None
    return text


def encoding(name: str) -> str:
    """Check that Python knows an encoding."""
    import io

    try:
        io.TextIOWrapper(io.BytesIO(), name)
    except LookupError:  # also of codecs that are not encodings of text, such as base64
        raise typer.BadParameter(f"unknown encoding {name!r}: use a name such as utf8 or latin1") from None
    return name
