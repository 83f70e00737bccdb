"""`intent topics`: create and check the topics in Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli import checks

Bundle = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        metavar="DIR",
        callback=checks.existing_path,
        help="The bundle that workers are started with, or a shelf. Default: INTENT_BUNDLE.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per topic.")]

_HELP = """
Create and check the topics in Kafka.

Examples
--------
- `intent topics create`: create the topics that are missing
"""


def register(app: typer.Typer) -> None:
    """Add `topics` and its subcommand."""
    topics = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help=_HELP)
    topics.command("create")(create)
    app.add_typer(topics, name="topics")


def create(bundle: Bundle = None, as_json: AsJson = False) -> None:
    """Create missing topics, and check the existing ones.

    `INTENT_PARTITIONS` and `INTENT_REPLICATION` apply to new topics, and `INTENT_TOPIC_PREFIX` starts every name. The
    command can be repeated. Examples and outcomes are kept for as long as the bundle's horizon needs, and never shorter
    than before.

    Examples
    --------
    - `intent topics create`: create the topics with the settings
    - `INTENT_PARTITIONS=24 INTENT_REPLICATION=3 intent topics create`: create them with 24 partitions and 3 replicas
    - `intent topics create --bundle b12`: let the learner's topics keep what the horizon of this bundle needs
    """
    from features.durations import duration_short
    from stream.cli.console import print_json
    from stream.kafka.topics import create_topics
    from stream.settings import load_settings
    from stream.texts import counted

    for topic in create_topics(load_settings(**({} if bundle is None else {"bundle": bundle}))):
        if as_json:
            print_json(topic._asdict())
        else:
            what = "created" if topic.created else "already there"
            if topic.lengthened is not None:
                what += f", kept for {duration_short(topic.lengthened)} now"
            typer.echo(f"{topic.topic}: {counted(topic.partitions, 'partition')}, {what}")
