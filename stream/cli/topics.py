"""`intent topics`: create and check the topics in Kafka."""

from __future__ import annotations

from typing import Annotated

import typer

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


def create(as_json: AsJson = False) -> None:
    """Create missing topics, and check the existing ones.

    `INTENT_PARTITIONS` and `INTENT_REPLICATION` apply to new topics, and `INTENT_TOPIC_PREFIX` starts every name. The
    command can be repeated.

    Examples
    --------
    - `intent topics create`: create the topics with the settings
    - `INTENT_PARTITIONS=24 INTENT_REPLICATION=3 intent topics create`: create them with 24 partitions and 3 replicas
    """
    from stream.cli.console import print_json
    from stream.kafka.topics import create_topics
    from stream.settings import load_settings
    from stream.texts import counted

    for topic in create_topics(load_settings()):
        if as_json:
            print_json(topic._asdict())
        else:
            what = "created" if topic.created else "already there"
            typer.echo(f"{topic.topic}: {counted(topic.partitions, 'partition')}, {what}")
