"""`intent customer`: show, export or erase one customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli import checks
from stream.cli.customer_export import export
from stream.cli.options import BundleFolder

if TYPE_CHECKING:
    from features.bundle import Bundle
    from features.links import Link
    from features.state import States
    from features.store.offer_store import OfferStore
    from features.store.partition_record import PartitionRecord
    from stream.decisions.holdout import Assignment
    from stream.decisions.remembered import Actions
    from stream.messages.score import Recommendation
    from stream.scoring.scorer import Models
    from stream.settings import Settings

# A worker that runs erases within a second; without one nothing happens for ever.
_WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.1

# What is shown of what `intent serve` answers.
_SCORE = ("purchase_intent", "horizon_seconds", "band", "segment", "action", "model_version", "reasons")

Customer = Annotated[str, typer.Argument(metavar="ID", callback=checks.customer_id, help="The customer id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object with the original values.")]
ErasedJson = Annotated[
    bool, typer.Option("--json", help="Print the partition, the offset, linked ids and what is done as JSON.")
]
Everything = Annotated[
    bool, typer.Option("--all", help="Also show columns that are zero, and the angles of the time of day.")
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait until the worker has erased the customer, 30 s at most.")
]

_HELP = """
Show, export or erase one customer.

Examples
--------
- `intent customer show c-17 --bundle bundle`: show what is known about a customer
- `intent customer erase c-17 --wait`: erase a customer
"""


def register(app: typer.Typer) -> None:
    """Add `customer` and its subcommands."""
    customer = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="markdown",
        help=_HELP,
    )
    customer.command("show")(show)
    customer.command("export")(export)
    customer.command("erase")(erase)
    app.add_typer(customer, name="customer")


def show(
    customer_id: Customer,
    bundle: BundleFolder = None,
    everything: Everything = False,
    as_json: AsJson = False,
) -> None:
    """Show a customer's state, score, actions and recommendation.

    Of actions those are shown that caps of the policy count, the last 10; others are not remembered. Also shows the
    model's input; everything is as of the customer's last event. The score is made as a worker would make it now, with
    what was learned. Without a bundle there are no score, no actions and no recommendation. Of ids that are linked, it
    says which ones were merged into this one, or whose this one is.

    Examples
    --------
    - `intent customer show c-17 --bundle bundle`: show a customer with the score
    - `intent customer show c-17 --json | jq .vector.cart_value`: print one value
    """
    import time
    from contextlib import closing

    from msgspec import to_builtins

    from features.exceptions import IntentError
    from features.store.offer_store import OfferStore
    from features.store.redis_store import RedisStore
    from stream.cli.console import output, print_json
    from stream.cli.customer_view import customer_view
    from stream.ownership.standing import partition_count, partition_of
    from stream.person.ids import link_of
    from stream.settings import load_settings

    settings = load_settings(**({} if bundle is None else {"bundle": bundle}))
    with (
        closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store,
        closing(OfferStore(settings.redis_url, settings.redis_prefix)) as offers,
    ):
        partition = partition_of(settings, store, customer_id)
        states, record = store.peek(partition, customer_id), store.record(partition)
        partitions = partition_count(settings, store)
        links = link_of(store, partitions, customer_id)
        if states is None and links is None:
            raise IntentError(
                f"nothing is known about customer {customer_id!r} (partition {partition}): "
                "check the id and INTENT_REDIS, and whether a worker has read the customer's events"
            )
        models = models_of(settings, partitions, required=bundle is not None)
        known = described(models, settings.timezone or "UTC", customer_id, partition, states, links)
        no_offer = ""
        if models is not None and states is not None:
            engine = models.engine
            found = recommended(offers, engine.bundle, partitions, engine.rulebook.assignment, known)
            if isinstance(found, str):
                no_offer = found
            else:
                known["recommendation"] = to_builtins(found)
    if as_json:
        print_json(known)
        return
    no_score = f"no score: set INTENT_BUNDLE (or give --bundle); {settings.bundle} has no bundle"
    now_ms, note = now_of(record, settings.lateness_ms, time.time_ns() // 1_000_000)
    for part in customer_view(known, no_score, now_ms, no_offer=no_offer, everything=everything):
        output().print(part)
    if note:
        output().print(note)


def erase(customer_id: Customer, wait: Wait = False, as_json: ErasedJson = False) -> None:
    """Erase a customer's state and last score, with linked ids.

    The request goes through the events topic, and the worker carries it out. It is sent also where nothing is known
    under the id. Anonymous ids that became this customer are erased, too, and with an anonymous id the customer that it
    became. The customer's events stay in Kafka until they expire; `intent archive` keeps only their times.

    Examples
    --------
    - `intent customer erase c-17 --wait`: erase a customer and wait until it is done
    """
    import time

    from features.store.redis_store import RedisStore
    from stream.cli.console import print_json
    from stream.cli.customer_links import about_erased
    from stream.clients.emit import EventEmitter
    from stream.exceptions import BrokerError
    from stream.ownership.standing import is_past
    from stream.settings import load_settings

    settings = load_settings()
    about = about_erased(settings, customer_id)  # before it is gone
    with EventEmitter(settings) as emitter:
        partition, offset = emitter.erase(customer_id)
    if wait:
        store = RedisStore(settings.redis_url, settings.redis_prefix)
        try:
            deadline = time.monotonic() + _WAIT_SECONDS
            while not is_past(store, partition, offset):
                if time.monotonic() > deadline:
                    raise BrokerError(
                        f"no worker has read offset {offset} of partition {partition} within {_WAIT_SECONDS:.0f} s: "
                        "the request is in Kafka, start `intent worker`"
                    )
                time.sleep(_LOOK_SECONDS)
        finally:
            store.close()
    if as_json:
        said = {"customer_id": customer_id, "partition": partition, "offset": offset, "erased": wait}
        print_json(said | {"known": about.known, "linked": about.linked})
    else:
        state = "is erased" if wait else "will be erased by the worker"
        for line in about.lines(f"customer {customer_id} {state} (partition {partition}, offset {offset})"):
            typer.echo(line)
        typer.echo("events that were sent stay in Kafka until the topic's retention takes them")


def now_of(record: PartitionRecord | None, lateness_ms: int, clock_ms: int) -> tuple[int, str]:
    """Return the time that ages count from (`stream.ownership.standing.log_time`), and what to say about it."""
    from stream.ownership.standing import log_time
    from stream.texts import minute

    now = log_time(record, lateness_ms, clock_ms)
    return (
        now,
        "" if now == clock_ms else f"Ages count from {minute(now)}, the newest event of the partition.",
    )


def recommended(
    offers: OfferStore, bundle: Bundle, partitions: int, assignment: Assignment, known: dict[str, Any]
) -> Recommendation | str:
    """Return what the customer's next score would recommend if it were like the last one, or why nothing.

    Of several reasons it is the one without which the others would not matter: no offers, then no offer that fits, then
    the holdout.

    Parameters
    ----------
    partitions
        Of the events topic.
    assignment
        Says who is left alone.
    known
        What `described` returned.
    """
    from features.bundle import BANDS
    from features.exceptions import SchemaMismatch
    from stream.decisions.holdout import HOLDOUT
    from stream.scoring.recommending import Recommender

    try:
        policy = offers.policy()
        if policy is None:
            return "no recommendation: run `intent recommend --write` first"
        policy.check(bundle=bundle.manifest.version, partitions=partitions)
        [items] = offers.items(known["partition"], [known["customer_id"]])
    except SchemaMismatch as error:
        return f"no recommendation: {error}"
    said = known["score"]
    one = Recommender(policy, len(bundle.segmenter.segments)).one(
        said["segment"]["id"], BANDS.index(said["band"]), items
    )
    if one is None:
        return "no recommendation: there is no offer for this segment and band"
    assigned = (known["links"] or {}).get("assigned") or known["customer_id"]
    if assignment.arms([assigned])[0] == HOLDOUT:
        return "no recommendation: the customer is in the holdout group"
    return one


def _actions(found: Actions, policy_version: str) -> dict[str, Any]:
    """Return what is known of a customer's actions as the JSON has it: moments as those of the state."""
    from features.state import view_time

    waits = found.waiting
    return {
        "policy_version": policy_version,
        "arm": found.arm,
        "counted": found.counted,
        "last": [
            {
                "action": one.action,
                "decided_at": view_time(one.decided_at),
                "expires_at": None if one.expires_at is None else view_time(one.expires_at),
            }
            for one in found.remembered
        ],
        "waiting": None
        if waits is None
        else {"action": waits.action, "rule": waits.rule, "until": view_time(waits.until)},
    }


def models_of(settings: Settings, partitions: int, *, required: bool = False) -> Models | None:
    """Return what a worker with these settings would score with now, reasons for every band.

    ``None`` where there is no bundle, unless it is ``required``.
    """
    import asyncio

    from features.bundle import has_bundle
    from stream.scoring.in_force import models_now

    if not required and not has_bundle(settings.bundle):
        return None
    return asyncio.run(models_now(settings.model_copy(update={"reasons": "all"}), partitions))


def described(  # noqa: PLR0917  (what is known)
    models: Models | None,
    timezone: str,
    customer_id: str,
    partition: int,
    states: States | None,
    links: Link | None = None,
) -> dict[str, Any]:
    """Return what a state says, the vector by column, and the score where there is a bundle.

    Parameters
    ----------
    models
        What scores; ``None`` where there is no bundle.
    timezone
        Of the time of day and week, where no bundle says which.
    states
        The customer's state, an array of one; ``None`` where all that is known lies under another id.
    links
        How the id stands to others.
    """
    from msgspec import to_builtins

    from features.calendar import zone
    from features.state import view
    from features.vector import COLUMN_NAMES, vectors
    from stream.decisions.remembered import actions_of
    from stream.person.ids import link_view
    from stream.serving.answers import Place, customers_of

    known: dict[str, Any] = {"customer_id": customer_id, "partition": partition, "links": None}
    if links is not None:
        known["links"] = link_view(links)
    known |= {"score": None, "actions": None, "recommendation": None, "state": None, "vector": None}
    if states is None:
        return known
    if models is None:
        rows = vectors(states, zone(timezone))
    else:
        advisor = None if models.newest is None else models.newest.current
        assigned = customer_id if links is None else links.assigned or customer_id
        said = models.engine.score_states(states, [customer_id], advisor, [assigned])
        place = Place(partition, 0)
        [told] = customers_of(models.engine, said, [customer_id], [place], [None], features=[False])
        answer = to_builtins(told)
        known["score"] = {name: answer[name] for name in _SCORE}
        known["actions"] = _actions(actions_of(said.rulebook, states, assigned), said.rulebook.version)
        rows = said.vectors
    known["state"] = view(states[0])
    known["vector"] = {name: float(value) for name, value in zip(COLUMN_NAMES, rows[0], strict=True)}
    return known
