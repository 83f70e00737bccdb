"""`intent customer export`: all that is held about one person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli import checks
from stream.cli.options import ReplaceFiles

Customer = Annotated[
    str,
    typer.Argument(metavar="ID", callback=checks.customer_id, help="The customer id, or an anonymous one."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        callback=checks.output_file,
        help="Write to a file that only you may read, not to the screen.",
    ),
]


def export(customer_id: Customer, output: Output = None, replace: ReplaceFiles = False) -> None:
    """Write down all that is held about one person, as JSON.

    It has the ids that logins have linked, what Redis holds under each of them with its key, and every record about
    them that the topics still have. Reading the topics takes a while where they are long. What has expired or was
    compacted away is not held any more; logs and reports that you have made are yours to look through. Devices that
    several customers have used are named and not looked into: what came under them is not only this person's.

    Examples
    --------
    - `intent customer export c-17 -o c-17.json`: answer somebody who asks what you know
    - `intent customer export c-17 | jq '.topics | map_values(length)'`: count the records by topic
    """
    import json
    from contextlib import ExitStack, closing
    from datetime import UTC, datetime

    from features.exceptions import IntentError
    from features.store.redis_store import RedisStore
    from features.whole_files import whole_file
    from stream.cli.console import Bar, bars
    from stream.ownership.standing import partition_count
    from stream.person.holdings import records_of, stored
    from stream.person.ids import person_of
    from stream.settings import load_settings
    from stream.texts import counted

    checks.new_file(output, "--output", replace=replace)
    settings = load_settings()
    with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store:
        person = person_of(store, partition_count(settings, store), customer_id)
        held = stored(store, settings, person.ids)
    with ExitStack() as steps, bars(transient=False) as step:

        def on_topic(topic: str) -> Bar:
            return steps.enter_context(step(topic))

        records = records_of(settings, person.ids, on_topic)
    number = sum(len(rows or ()) for rows in records.values())
    if not held and not number:
        raise IntentError(
            f"nothing is held about {customer_id!r}: check the id, INTENT_REDIS and INTENT_TOPIC_PREFIX"
        )
    document = {
        "customer_id": customer_id,
        "ids": person.ids,
        "shared_devices": person.shared,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "redis": held,
        "topics": records,
    }
    text = json.dumps(document, ensure_ascii=False, indent=2, default=str)
    if output is None:
        typer.echo(text)
        return
    with whole_file(output, private=True) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    typer.echo(
        f"{counted(len(person.ids), 'id')}, {len(held)} of Redis' keys and {counted(number, 'record')} of "
        f"{counted(len(records), 'topic')} in {output}"
    )
