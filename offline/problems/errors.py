"""What can be wrong with a user's table."""

from features.exceptions import IntentError


class TableError(IntentError):
    """A table cannot be read, or is no classification problem; names row and column where there is one."""
