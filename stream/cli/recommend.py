"""`intent recommend`: items for customers, offers for segments; tried, and written for the stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.lab import Found, lab_command, run_one
from stream.cli.lab_options import workspace_of_log

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace

Bundle = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="With --write: the bundle that workers score with; offers are for its segments.",
        show_default=False,
    ),
]  # fmt: skip
Write = Annotated[bool, typer.Option("--write", help="Write offers and items to Redis (INTENT_REDIS).")]


def register(app: typer.Typer) -> None:
    """Add `recommend`."""
    app.command()(lab_command(recommend, workspace_of_log))


def recommend(workspace: Workspace, write: Write = False, bundle: Bundle = None) -> Found:
    """Try recommenders on what customers took up later, and make offers for segments and intent.

    Writes recommendations.html, a page that opens offline, recommendations.json with all figures, and
    recommendations.csv: ten items for every customer, and ten that are new to the customer. With --write also offers
    for every segment, and items for every customer that the stream knows, to Redis.

    **Examples**

    - `intent recommend events.parquet -o report`
    - `intent recommend events.parquet --write --bundle bundle -o report`
    """
    if write and bundle is None:
        raise typer.BadParameter("offers are for the segments of a bundle: name it", param_hint="--bundle")
    found = run_one("recommendations", workspace)
    if not (write and bundle):
        return found
    from contextlib import closing

    from features.store.offer_store import OfferStore
    from features.store.redis_store import RedisStore
    from offline.chapters.recommendation.writing import write_offers
    from stream.cli.customer import partition_count
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
        remark=f"Redis: {len(made.policy.offers)} offers for bundle {made.policy.bundle}, items for "
        f"{made.customers:,} customers, version {made.policy.version}."
        + (f" {made.without_state:,} got none: the stream does not know them." if made.without_state else "")
    )
