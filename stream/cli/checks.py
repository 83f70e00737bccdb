"""Values that are checked while options are read, so that a wrong one ends in one line before any work.

Each function is the callback of an argument or option: it returns the value as it is, or raises
`typer.BadParameter`, which names the option. What is read and what is written must be different places, whichever of
them a command line names first: each path is noted, and compared with those of the other kind.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import typer

__all__ = [
    "customer_id",
    "existing_file_or_stdin",
    "duration",
    "encoding",
    "event_format",
    "existing_file",
    "existing_log",
    "existing_path",
    "group",
    "moment_ms",
    "new_file",
    "output_file",
    "output_folder",
    "output_log",
]

_OTHER_FORMS: Final = frozenset(
    {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".xlsx", ".xls", ".gz", ".zip"}
)
# A longer name is refused by some brokers.
_LONGEST_GROUP: Final = 249
_INPUTS: Final = "inputs"
_OUTPUTS: Final = "outputs"


def existing_path(context: typer.Context, path: Path | None) -> Path | None:
    """Check that there is a file or a folder."""
    if path is None:
        return None
    if not path.exists():
        raise typer.BadParameter(f"{path} does not exist")
    if not os.access(path, os.R_OK):
        raise typer.BadParameter(f"{path} cannot be read: you have no permission")
    _note(context, _INPUTS, path)
    return path


def existing_file(context: typer.Context, path: Path | None) -> Path | None:
    """Check that there is a file."""
    if path is not None and existing_path(context, path) and path.is_dir():
        raise typer.BadParameter(f"{path} is a folder: name a file")
    return path


def existing_file_or_stdin(context: typer.Context, path: Path) -> Path:
    """Check that there is a file; - is standard input."""
    return path if str(path) == "-" else existing_file(context, path) or path


def existing_log(context: typer.Context, path: Path | None) -> Path | None:
    """Check that there is a file, and say how to make a log if there is none."""
    if path is not None and not path.exists():
        raise typer.BadParameter(
            f"{path} does not exist: make a log with `intent convert` or `intent simulate`"
        )
    return existing_file(context, path)


def output_file(context: typer.Context, path: Path | None) -> Path | None:
    """Check that a file can be written here; its folder may be missing."""
    if path is None:
        return None
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder: name a file")
    if path.exists() and not path.is_file():
        raise typer.BadParameter(f"{path} is no regular file: name a file")
    _check_writable(path.parent)
    _note(context, _OUTPUTS, path)
    return path


def new_file(path: Path | None, option: str, *, replace: bool) -> None:
    """Check that a file is not there yet, or is to be replaced: what it holds may be nowhere else any more.

    Parameters
    ----------
    option
        Which option names it.
    """
    if path is not None and path.is_file() and not replace:
        raise typer.BadParameter(
            f"{path} is there already: add --replace to give it up, or name another file",
            param_hint=f"'{option}'",
        )


def output_log(context: typer.Context, path: Path | None) -> Path | None:
    """Check that an event log can be written here, under a name that says no other form."""
    checked = output_file(context, path)
    if checked is not None and checked.suffix.lower() in _OTHER_FORMS:
        raise typer.BadParameter(
            f"a log is a Parquet file, not {checked.suffix}: name it {checked.with_suffix('.parquet')}"
        )
    return checked


def actions_file(context: typer.Context, path: Path | None) -> Path | None:
    """Check that a file of actions can be written here, in the form that its ending names."""
    if path is not None and path.suffix not in {".parquet", ".jsonl"}:
        raise typer.BadParameter(f"{path} has another ending than .parquet or .jsonl: choose one of them")
    return output_file(context, path)


def output_folder(context: typer.Context, path: Path | None) -> Path | None:
    """Check that files can be written into this folder; it may be missing."""
    if path is None:
        return None
    _check_writable(path)
    _note(context, _OUTPUTS, path)
    return path


def _check_writable(folder: Path) -> None:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise typer.BadParameter(f"{there} is a file: name a folder")
    # Permissions alone do not tell: think of /proc, or of a full disk.
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise typer.BadParameter(f"{there} takes no files ({error.strerror}): name another folder") from None


def _note(context: typer.Context, kind: str, path: Path) -> None:
    """Compare a path with those of the other kind; a file may not lie in a folder that is read as a whole, either."""
    try:
        resolved = path.resolve()
    except RuntimeError:
        raise typer.BadParameter(f"{path} is a link that leads back to itself: name another file") from None
    paths: dict[str, list[Path]] = context.meta.setdefault(f"{__name__}.paths", {_INPUTS: [], _OUTPUTS: []})
    paths[kind].append(resolved)
    for read in paths[_INPUTS]:
        for written in paths[_OUTPUTS]:
            if written == read or (written.exists() and written.samefile(read)):
                raise typer.BadParameter(f"{path} is read and written: name another output")
            if written.parent == read and written.suffix:
                raise typer.BadParameter(f"{written} lies in the folder that is read: name another output")


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


def customer_id(text: str | None) -> str | None:
    """Check that a text can be a customer id."""
    from features.events import MAX_ID, check_identifiers
    from features.refusals import RejectedEvent

    if text is None:
        return None
    if not 0 < len(text) <= MAX_ID:
        raise typer.BadParameter(f"a customer id has 1 to {MAX_ID} characters, not {len(text):,}")
    try:
        text.encode()
        check_identifiers([text])
    except (RejectedEvent, UnicodeEncodeError):
        raise typer.BadParameter(f"{text!r} has characters that an id cannot have") from None
    return text


def group(name: str | None) -> str | None:
    """Check that a text can name a consumer group."""
    if name is not None and not 0 < len(name.strip()) <= _LONGEST_GROUP:
        raise typer.BadParameter(f"a group has a name of 1 to {_LONGEST_GROUP} characters")
    return name


def encoding(name: str) -> str:
    """Check that Python knows an encoding."""
    import io

    try:
        io.TextIOWrapper(io.BytesIO(), name)
    except LookupError:  # also of codecs that are not encodings of text, such as base64
        raise typer.BadParameter(f"unknown encoding {name!r}: use a name such as utf8 or latin1") from None
    return name


def event_format(name: str) -> str:
    """Check the name of a form of events."""
    from stream.setting_values import check_format

    try:
        return check_format(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def moment_ms(text: str, option: str) -> int:
    """Return a moment as epoch milliseconds: RFC 3339 (UTC without a zone), or a duration before now."""
    import time
    from datetime import UTC, datetime, timedelta

    from features.durations import parse_duration
    from features.exceptions import IntentError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return time.time_ns() // 1_000_000 - parse_duration(text) // timedelta(milliseconds=1)
        except IntentError:
            raise typer.BadParameter(
                f"invalid time {text!r}: use 2026-03-01T12:00:00Z, 2026-03-01 or 7d", param_hint=f"'{option}'"
            ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
