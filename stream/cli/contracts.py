"""`intent contracts`: the JSON Schema of each topic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli import checks

Topic = Annotated[
    str | None,
    typer.Argument(
        metavar="[TOPIC]",
        help="Only this one: events, scores, actions, alerts or dead-letters. Default: all.",
    ),
]
Registry = Annotated[
    bool, typer.Option("--registry", help="Print them in the form in which schema registries take them.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        callback=checks.output_folder,
        help="Write a file for each topic instead.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add `contracts`."""
    app.command("contracts")(show)


def show(topic: Topic = None, registry: Registry = False, output: Output = None) -> None:
    """Print the contract of each topic as JSON Schema.

    With `--registry` it is what a schema registry is sent, by subject: the name of the topic and `-value`. Dead letters
    have no contract there, since their values are the bytes that were refused.

    Examples
    --------
    - `intent contracts scores`: print the schema of scores
    - `intent contracts events --registry > events.json`: print what a registry takes for `intent.events-value`
    - `intent contracts -o schemas`: write all of them to a folder
    """
    from stream.cli.console import print_json
    from stream.messages.contracts import HEADERS_ONLY, contracts, dumped, for_registry, subject
    from stream.settings import load_settings

    found = contracts()
    if topic is not None and topic not in found:
        raise typer.BadParameter(f"no topic {topic!r}: use one of {', '.join(found)}", param_hint="'[TOPIC]'")
    if registry and topic == HEADERS_ONLY:
        raise typer.BadParameter("values of dead letters have no schema", param_hint="'--registry'")
    chosen = {name: one for name, one in found.items() if topic in (None, name)}
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for name, contract in chosen.items():
            (output / f"{name}.json").write_text(dumped(contract), encoding="utf-8")
        return
    shown: dict[str, object] = dict(chosen)
    if registry:
        settings = load_settings()
        topics = {
            "events": settings.events_topic,
            "scores": settings.scores_topic,
            "actions": settings.actions_topic,
            "alerts": settings.alerts_topic,
        }
        shown = {
            subject(topics[name]) if topic is None else name: for_registry(contract)
            for name, contract in chosen.items()
            if topics.get(name)
        }
    print_json(shown if topic is None else shown[topic])
