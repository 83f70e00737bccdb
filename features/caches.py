"""Where this program keeps for a user what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["user_caches"]


def user_caches() -> Path:
    """Return the folder; it need not be there yet.

    Raises
    ------
    RuntimeError
        Nobody knows where the user's home is.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "purchase-intent"
