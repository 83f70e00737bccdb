"""From whom models do not learn, as the settings say: the same as in the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from features.traffic import BotRule
    from stream.settings import Settings


class LeftOut(NamedTuple):
    """The rules by which a machine is known, and the ids of the shop's own people."""

    bots: tuple[BotRule, ...]
    excluded: frozenset[str]


def left_out(settings: Settings) -> LeftOut:
    """Return what the policy in force and the list of excluded customers say.

    Raises
    ------
    PolicyError
        A file is bad.
    """
    from features.traffic import DEFAULT_BOTS

    bots: tuple[BotRule, ...] = DEFAULT_BOTS
    excluded: frozenset[str] = frozenset()
    if settings.policy is not None:
        from stream.decisions.policy_file import read_policy

        bots = read_policy(settings.policy).bots
    if settings.excluded_customers is not None:
        from stream.decisions.traffic import read_excluded

        excluded = read_excluded(settings.excluded_customers)
    return LeftOut(bots, excluded)
