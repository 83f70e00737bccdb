"""The policy in force: that of the program, or a file that is read again when it has changed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from features.bundle import Bundle
from stream.decisions.policy import read_policy
from stream.decisions.rulebook import Rulebook, default_rulebook
from stream.exceptions import PolicyError, SettingsError

logger = logging.getLogger(__name__)

# How long a changed file may stay unnoticed. A look is one stat.
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """A policy that never changes."""

    current: Rulebook
    refusal: str = ""


class FollowedPolicy:
    """Looks every second whether a policy file has changed; a bad one is told in one line, and the old one goes on.

    Parameters
    ----------
    path
        The file.
    bundle
        Who scores.
    share
        Of the holdout, where the policy names none.

    Attributes
    ----------
    current
        What the newest good file means for the bundle.
    refusal
        Why the file as it is now is not used, empty where it is.

    Raises
    ------
    PolicyError
        The file is bad from the beginning.
    """

    def __init__(self, path: Path, bundle: Bundle, share: float) -> None:
        self.refusal = ""
        self._path = path
        self._bundle = bundle
        self._share = share
        self._seen = self._mark()
        self.current = self._read()
        _warn(self.current)

    async def run(self) -> None:
        """Look forever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Take the file if it has changed and is good."""
        mark = self._mark()
        if mark == self._seen:
            return
        self._seen = mark
        try:
            found = self._read()
        except PolicyError as error:
            self.refusal = str(error)
            logger.warning("policy %s stays in force: %s", self.current.version, error)
            return
        self.refusal = ""
        if found.version != self.current.version:
            self.current = found
            logger.info("policy %s is in force", found.version)
            _warn(found)

    def _read(self) -> Rulebook:
        return Rulebook.of(read_policy(self._path), self._bundle, self._share)

    def _mark(self) -> tuple[int, int, int] | None:
        """Return what differs when the file has changed; ``None`` where there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def followed(path: Path | None, bundle: Bundle, share: float) -> FollowedPolicy | PolicyInForce:
    """Return the policy that the setting INTENT_POLICY names, or that of the program.

    Raises
    ------
    SettingsError
        The file is bad.
    """
    if path is None:
        return PolicyInForce(default_rulebook(bundle, share))
    try:
        return FollowedPolicy(path, bundle, share)
    except PolicyError as error:
        raise SettingsError(f"INTENT_POLICY: {error}") from None


def _warn(rulebook: Rulebook) -> None:
    for sentence in rulebook.warnings():
        logger.warning("policy %s: %s", rulebook.version, sentence)
