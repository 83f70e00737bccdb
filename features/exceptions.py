"""Errors that a user can cause, or can mend.

::

    IntentError
    ├── SchemaMismatch      a state, bundle or log was written with another layout
    │   ├── UnreadableState   a customer's stored state is damaged, or of another layout
    │   └── UnreadableRecord  a partition's stored record is
    ├── InvalidDuration     a text is not a duration, or not a positive one
    ├── LogError            an event log cannot be read or breaks the event contract
    ├── StoreError
    │   ├── StoreConflict   the partition's record is not the one that was expected
    │   ├── StoreUnavailable  the store did not answer
    │   └── StoreEvicts       the store may drop states
    └── BundleError         a bundle is missing, incomplete or damaged

Every message says what was wrong, with which value, and what to do; the command line prints it as one line.
"""


class IntentError(Exception):
    """Base of all errors that end a command with one line and ``exit_code``."""

    exit_code = 1


class SchemaMismatch(IntentError):
    """Something was written with another layout of the features than this program's."""


class UnreadableState(SchemaMismatch):
    """A customer's stored state is damaged, or was written with another layout.

    Attributes
    ----------
    at
        Its position among the values that were read.
    """

    def __init__(self, message: str, at: int = 0) -> None:
        super().__init__(message)
        self.at = at


class UnreadableRecord(SchemaMismatch):
    """A partition's stored record is damaged, or was written with another layout."""


class InvalidDuration(IntentError, ValueError):
    """A text is not a duration, or not a positive one."""


class LogError(IntentError):
    """An event log cannot be read, or a row of it breaks the event contract."""


class BundleError(IntentError):
    """A bundle is missing, incomplete or damaged."""


class StoreError(IntentError):
    """The customer store failed."""


class StoreConflict(StoreError):
    """The stored partition record differs from the expected one, so nothing was saved.

    Attributes
    ----------
    found
        The record that is stored now, ``None`` if no record is stored.
    """

    def __init__(self, message: str, found: object = None) -> None:
        super().__init__(message)
        self.found = found


class StoreEvicts(StoreError):
    """The store is configured to drop states when its memory runs short."""


class StoreUnavailable(StoreError):
    """The store did not answer; whether the last save took effect is unknown."""
