"""`intent recommend`: items for customers and offers for segments, tested, and written to Redis for the workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.counts import counted
from stream.cli.lab import Found, lab_command, run_one
from stream.cli.lab_options import workspace_of_log

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace

Bundle = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Required by --write: the bundle that workers score with; offers are for its segments.",
        show_default=False,
    ),
]  # fmt: skip
Write = Annotated[
    bool, typer.Option("--write", help="Write offers and items to Redis (INTENT_REDIS) for the workers.")
]


def register(app: typer.Typer) -> None:
    """Add `recommend`."""
    app.command()(lab_command(recommend, workspace_of_log))


def recommend(workspace: Workspace, write: Write = False, bundle: Bundle = None) -> Found:
    """Recommend items to customers and offers to segments.

    Recommenders are tested on what customers chose later. Writes recommendations.html, a page that opens without a
    network, recommendations.json with all figures, and recommendations.csv: ten items for each customer, and ten that
    are new to the customer. With --write, scores carry recommendations: the offers of each segment and the items of
    each known customer are written to Redis. If offers belong to another bundle, the worker warns once and omits
    recommendations.

    Examples
    --------
    - `intent recommend events.parquet -o report`: test the recommenders
    - `intent recommend events.parquet --write --bundle bundle -o report`: also write the recommendations for the
      workers
    """
    if write and bundle is None:
        raise typer.BadParameter(
            "--write needs the bundle whose segments get the offers: add --bundle DIR",
            param_hint="'--bundle'",
        )
    found = run_one("recommendations", workspace)
    if not (write and bundle):
        return found
    from contextlib import closing

    from features.store.offer_store import OfferStore
    from features.store.redis_store import RedisStore
    from offline.chapters.recommendation.writing import write_offers
    from stream.ownership.standing import partition_count
    from stream.settings import load_settings

    settings = load_settings()
    with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as states:
        partitions = partition_count(settings, states)
    with (
        closing(OfferStore(settings.redis_url, settings.redis_prefix)) as store,
        workspace.progress("Writing offers") as on_progress,
    ):
        made = write_offers(workspace, bundle, store, partitions=partitions, on_progress=on_progress)
    return found._replace(
        remark=f"Redis: {counted(len(made.policy.offers), 'offer')} for bundle {made.policy.bundle}, items for "
        f"{counted(made.customers, 'customer')}, version {made.policy.version}."
        + (
            f" {counted(made.without_state, 'customer')} got none: the workers do not know them."
            if made.without_state
            else ""
        )
    )
