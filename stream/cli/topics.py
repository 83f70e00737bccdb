"""`intent topics create`."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per topic.")]


def register(app: typer.Typer) -> None:
    """Add `topics` and its subcommand."""
    topics = typer.Typer(
        no_args_is_help=True, rich_markup_mode="markdown", help="Create and check the topics in Kafka."
    )
    topics.command("create")(create)
    app.add_typer(topics, name="topics")


def create(as_json: AsJson = False) -> None:
    """Create the topics that are not there, and check those that are. May be repeated.

    `INTENT_PARTITIONS` and `INTENT_REPLICATION` say how; `INTENT_TOPIC_PREFIX` starts every name.

    **Examples**

    - `intent topics create`
    - `INTENT_PARTITIONS=24 INTENT_REPLICATION=3 intent topics create`
    """
    from stream.cli.console import print_json
    from stream.kafka.topics import create_topics
    from stream.settings import load_settings
    from stream.texts import counted

    for topic in create_topics(load_settings()):
        if as_json:
            print_json(topic._asdict())
        else:
            what = "created" if topic.created else "there already"
            typer.echo(f"{topic.topic}: {counted(topic.partitions, 'partition')}, {what}")
