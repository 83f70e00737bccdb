"""The command line: ``intent``.

One module per command, each with ``register(app)``; `app` puts them together, `help` prints them in panels, `options`
and `checks` hold what several share. Importing them must stay cheap, because ``intent --help`` and the completion of a
shell import all of them: at their top they import nothing but ``typer`` and their neighbours, the rest inside the
command's function. This module does not even import ``typer``, so that a signal is heard from the first moment on.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["create_app", "main"]

_INTERRUPTED = 128 + signal.SIGINT
# What a full or locked disk says while files are written, or the system of a path that no file can have; any other
# error of the system is a mistake of the program.
_OF_THE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip


def create_app() -> typer.Typer:
    """Return the application with all its commands."""
    from stream.cli import app

    return app.create_app()


def main() -> None:
    """Run the command line; errors that a user can mend end in one line."""
    from stream.running import early, unwinding

    unwinding.unwind_when_asked()  # before all that takes a while to be imported
    early.end_when_asked(sys.argv[1:])
    from features.exceptions import IntentError
    from features.extras import MissingExtra
    from stream.cli.extras import missing_extra

    try:
        _run()
    except (ModuleNotFoundError, MissingExtra) as error:
        missing = missing_extra(error, sys.argv[1:])
        _end(f"intent: {missing}", missing.exit_code)
    except IntentError as error:
        _end(f"intent: {error}", error.exit_code)
    except BrokenPipeError:
        # The reader has what it wanted (`intent watch | head`). Nothing can be flushed to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        _end(f"intent: {where}{os.strerror(error.errno)}", 1)
    except KeyboardInterrupt:
        _end_as_asked(unwinding.asked())
    except SystemExit as end:
        # Typer makes this of an interrupt within a command, and says nothing.
        if end.code == _INTERRUPTED:
            _end_as_asked(unwinding.asked())
        raise


def _run() -> None:
    try:
        create_app()()
    except ImportError as error:
        # So an interrupt comes out of a module in C++ that was being imported.
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def _end_as_asked(number: signal.Signals) -> None:
    """End as a shell names it: with 128 and the number of the signal."""
    what = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    _end(f"intent: {what}", 128 + number)


def _end(line: str, code: int) -> None:
    from stream.texts import visible

    # A value of somebody's file is shown as it is, but it must not steer the terminal or begin a line.
    print(visible(line), file=sys.stderr)
    sys.exit(code)
