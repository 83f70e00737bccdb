"""What is in force: the policy and the customers who are left out, from files that are read again when they change."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from features.bundle import Bundle
from features.counts import counted
from features.whole_files import file_mark
from stream.decisions.policy_file import read_policy
from stream.decisions.rulebook import Rulebook, default_rulebook
from stream.decisions.traffic import read_excluded
from stream.exceptions import PolicyError, SettingsError

Content = TypeVar("Content")

logger = logging.getLogger(__name__)

# How long a changed file may stay unnoticed. A look is one stat.
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """A policy that never changes."""

    current: Rulebook
    refusal: str = ""


class FollowedFile(ABC, Generic[Content]):
    """Looks every second whether a file has changed; a bad one is told in one line, and the old content goes on.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    current
        What the newest good file says.
    refusal
        Why the file as it is now is not used, empty where it is.

    Raises
    ------
    PolicyError
        The file is bad from the beginning.
    """

    def __init__(self, path: Path) -> None:
        self.refusal = ""
        self._path = path
        self._seen = file_mark(self._path)
        self.current = self._read()

    async def run(self) -> None:
        """Look forever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Take the file if it has changed and is good."""
        mark = file_mark(self._path)
        if mark == self._seen:
            return
        self._seen = mark
        try:
            found = self._read()
        except PolicyError as error:
            self.refusal = str(error)
            logger.warning("%s stays in force: %s", self._name(), error)
            return
        self.refusal = ""
        self._take(found)

    @abstractmethod
    def _read(self) -> Content:
        """Return what the file says."""

    @abstractmethod
    def _take(self, found: Content) -> None:
        """Let what was found be in force."""

    @abstractmethod
    def _name(self) -> str:
        """Return how to call what is in force."""


class FollowedPolicy(FollowedFile[Rulebook]):
    """A policy file; ``current`` is what it means for the bundle.

    Parameters
    ----------
    path
        The file.
    bundle
        Who scores.
    share
        Of the holdout, where the policy names none.
    """

    def __init__(self, path: Path, bundle: Bundle, share: float) -> None:
        self._bundle = bundle
        self._share = share
        super().__init__(path)
        _warn(self.current)

    def _read(self) -> Rulebook:
        return Rulebook.of(read_policy(self._path), self._bundle, self._share)

    def _take(self, found: Rulebook) -> None:
        if found.version != self.current.version:
            self.current = found
            logger.info("policy %s is in force", found.version)
            _warn(found)

    def _name(self) -> str:
        return f"policy {self.current.version}"


@dataclass(frozen=True, slots=True)
class NobodyExcluded:
    """That no customer is left out."""

    current: frozenset[str] = frozenset()
    refusal: str = ""


class FollowedExclusions(FollowedFile[frozenset[str]]):
    """The file of customers who are left out; ``current`` are their ids."""

    def _read(self) -> frozenset[str]:
        return read_excluded(self._path)

    def _take(self, found: frozenset[str]) -> None:
        if found != self.current:
            self.current = found
            logger.info("%s", self._name())

    def _name(self) -> str:
        return f"the list of {counted(len(self.current), 'excluded customer')}"


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


def followed_exclusions(path: Path | None) -> FollowedExclusions | NobodyExcluded:
    """Return who is left out by the file that the setting INTENT_EXCLUDED_CUSTOMERS names.

    Raises
    ------
    SettingsError
        The file is bad.
    """
    if path is None:
        return NobodyExcluded()
    try:
        return FollowedExclusions(path)
    except PolicyError as error:
        raise SettingsError(f"INTENT_EXCLUDED_CUSTOMERS: {error}") from None


def _warn(rulebook: Rulebook) -> None:
    for sentence in rulebook.warnings():
        logger.warning("policy %s: %s", rulebook.version, sentence)
