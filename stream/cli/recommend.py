"""`intent recommend`: items for customers, offers for segments; tried, and written for the stream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli.lab import AsJson, Output, Quick, Seed, bars, run_one, show, workspace_of

Log = Annotated[Path, typer.Argument(metavar="LOG", help="The event log (Parquet).")]
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
    app.command()(recommend)


def recommend(
    path: Log,
    output: Output,
    write: Write = False,
    bundle: Bundle = None,
    quick: Quick = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Try recommenders on what customers took up later, and make offers for segments and intent.

    Writes recommendations.html, which opens without a network, and recommendations.json; with --write also items for
    every customer and offers for every segment to Redis. INTENT_PARTITIONS has to be the topic's then.

    **Examples**

    - `intent recommend events.parquet -o report`
    - `intent recommend events.parquet --write --bundle bundle -o report`
    """
    if write and bundle is None:
        raise typer.BadParameter("offers are for the segments of a bundle: name it", param_hint="--bundle")
    with bars() as progress:
        workspace = workspace_of(path, output, quick=quick, seed=seed, progress=progress)
        section, written = run_one("recommendations", workspace)
        if write and bundle is not None:
            from features.offers import OfferStore
            from offline.recommendation.writing import write_offers
            from stream.settings import load_settings

            settings = load_settings()
            store = OfferStore(settings.redis_url, settings.redis_prefix)
            try:
                with progress("Writing offers") as on_progress:
                    made = write_offers(
                        workspace, bundle, store, partitions=settings.partitions, on_progress=on_progress
                    )
            finally:
                store.close()
    show([section], written, as_json=as_json)
    if write and not as_json:
        from stream.cli.console import output as console

        console().print(
            f"Redis: {len(made.policy.offers)} offers for bundle {made.policy.bundle}, items for {made.customers:,} "
            f"customers, version {made.policy.version}."
        )
