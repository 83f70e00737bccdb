"""Write offers for a bundle's segments, and customers' items, to where the stream reads them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from features.bundle import Bundle
from features.offers import OfferPolicy
from features.store.offer_store import DEFAULT_TTL_SECONDS, OfferStore
from offline.chapters.recommendation.grouping import groups_of_bundle
from offline.chapters.recommendation.interactions import Interactions
from offline.chapters.recommendation.offers import catalogue_of, customer_items, policy_of
from offline.chapters.recommendation.trial import Trial, try_out
from offline.chapters.workspace import Workspace
from offline.examples.examples import Context
from offline.progress import OnProgress


class WrittenOffers(NamedTuple):
    """The policy that was written, for how many customers there are items, and how many the stream does not know."""

    policy: OfferPolicy
    customers: int
    without_state: int


def write_offers(
    workspace: Workspace,
    bundle_directory: Path,
    store: OfferStore,
    *,
    partitions: int,
    ttl_seconds: int = DEFAULT_TTL_SECONDS,
    on_progress: OnProgress | None = None,
) -> WrittenOffers:
    """Write a policy, and items for the customers who have a state in Redis.

    Parameters
    ----------
    workspace
        Of the log; what the stage "recommendations" found is used if it has run.
    bundle_directory
        Whose segments the stream assigns.
    partitions
        Of the events topic: they are part of the keys.
    ttl_seconds
        How long what is written lives.
    on_progress
        Called with customers done and in all.
    """
    bundle = Bundle.load(bundle_directory)
    manifest = bundle.manifest
    options = workspace.options
    context = Context(
        round(manifest.horizon_seconds * 1000), manifest.label_start, manifest.timezone, manifest.currency,
        options.lateness_ms, options.ttl_ms,
    )  # fmt: skip
    known, trial = _found(workspace)
    groups = groups_of_bundle(known, workspace.log, bundle, context)
    policy = policy_of(known, groups, bundle=manifest.version, partitions=partitions)
    items = customer_items(
        known, trial.best, trial.best_new, policy.version, seed=options.seed, on_progress=on_progress
    )
    catalogue = catalogue_of(known)
    written = store.write(policy, items, catalogue=catalogue, ttl_seconds=ttl_seconds)
    return WrittenOffers(policy, *written)


def _found(workspace: Workspace) -> tuple[Interactions, Trial]:
    """Return what the stage "recommendations" handed over, found now if it has not run."""
    if workspace.handover.recommenders is not None:
        return workspace.handover.recommenders
    known = Interactions.of(workspace.log)
    return known, try_out(known, seed=workspace.options.seed)
