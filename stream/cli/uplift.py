"""`intent uplift`: whether customers who are contacted buy more often than those who are held out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.counts import counted
from stream.cli import checks

if TYPE_CHECKING:
    from features.persons import Persons
    from offline.uplift.analysis import Uplift
    from offline.uplift.effects import Effect


class By(StrEnum):
    """Groups to compare within."""

    ACTION = "action"
    SEGMENT = "segment"


ActionFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="ACTIONS",
        callback=checks.existing_file,
        help="File of actions: JSON lines or Parquet. Default: the topic of actions.",
        show_default=False,
    ),
]
EventFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="LOG",
        callback=checks.existing_file,
        help="File of events or of scores: Parquet or JSON lines. Default: the topic of events.",
        show_default=False,
    ),
]
Window = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        callback=checks.duration,
        help="How long after a customer's first action a purchase counts. Choose it before you look.",
    ),
]
Groups = Annotated[
    list[By] | None,
    typer.Option("--by", metavar="action|segment", help="Show the effect within these groups. Repeatable."),
]
Holdout = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[VERSION=]SHARE",
        help="Share of customers that is held out, for one version of the experiment or for all. Repeatable. Default: "
        "the number at the end of the version (v2:0.10), else INTENT_HOLDOUT.",
        show_default=False,
    ),
]
FromScores = Annotated[
    bool,
    typer.Option("--scores", help="Read purchases from the topic of scores. They say nothing of revenue."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        callback=checks.output_folder,
        help="Also write uplift.html, a page with the effect over days, and uplift.json.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print all figures as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `uplift`."""
    app.command()(uplift)


def uplift(  # noqa: PLR0917  (options of a command)
    actions: ActionFile = None,
    log: EventFile = None,
    window: Window = "7d",
    by: Groups = None,
    holdout: Holdout = None,
    scores: FromScores = False,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Show whether actions make customers buy.

    Customers who were contacted are compared with those whom chance held out. First it is tested whether chance has
    divided them: if not, no lift is shown, but what is off. The interval may be looked at any day.

    Examples
    --------
    - `intent uplift`: measure the actions of the running system
    - `intent uplift --window 3d --by segment`: count purchases within three days, also by segment
    - `intent uplift actions.jsonl events.parquet -o report`: measure files, and write a page
    - `intent uplift actions.jsonl events.parquet --holdout 0.1 --json`: print all figures as JSON
    """
    from features.durations import duration_ms, parse_duration
    from offline.chapters.uplift.section import figures, uplift_section
    from offline.report.pages import write_section
    from offline.report.plain import plain
    from offline.uplift import words
    from stream.cli.console import print_json
    from stream.settings import load_settings

    if scores and log is not None:
        raise typer.BadParameter(f"{log.name} is read instead of a topic", param_hint="'--scores'")
    for text in holdout or []:
        _share(text.rpartition("=")[2], text)  # before anything is read
    settings = load_settings()
    found, notes = _measured(
        settings, actions, log, duration_ms(parse_duration(window)), by or list(By), holdout or [], scores
    )
    written = None
    if output is not None:
        sources = ", ".join(path.name for path in (actions, log) if path is not None)
        written = write_section(
            output, uplift_section(found, notes), subtitle=sources or settings.actions_topic
        )
    if as_json:
        print_json(plain({"sentence": words.headline(found), **figures(found), "notes": notes}))
        return
    _show(found, notes)
    if written is not None:
        typer.echo(f"Page: {written.html}, figures: {written.json}")


def _measured(  # noqa: PLR0917
    settings: Any,
    actions: Path | None,
    log: Path | None,
    window_ms: int,
    by: list[By],
    given: list[str],
    scores: bool,
) -> tuple[Uplift, list[str]]:
    from features.exceptions import IntentError
    from offline.uplift.analysis import measure
    from offline.uplift.outcomes import payments
    from stream.cli.console import progress
    from stream.logs.experiment import read_actions, read_payments

    with progress("Reading actions") as on_progress:
        read = read_actions(settings, actions, on_progress)
    if not len(read.table):
        where = actions or f"the topic {settings.actions_topic}"
        raise IntentError(f"there are no actions in {where}: nothing has been done that could have helped")
    with progress("Reading events") as on_progress:
        paid = read_payments(settings, log, "scores" if scores else "events", on_progress)
    frame = read.table.to_pandas()
    versions = sorted(frame["experiment"].unique().tolist())
    shares, notes = shares_of(versions, given, settings.holdout)
    if read.refused:
        told = "is no action and was" if read.refused == 1 else "are no actions and were"
        notes.append(f"{counted(read.refused, 'record')} {told} left out.")
    persons, ids = paid.persons, frame["customer_id"]
    frame["customer_id"] = persons.ids(ids.tolist(), frame["decided_at"].tolist())
    apart = paid.apart | _excluded(settings)
    others = ids.isin(apart) | frame["customer_id"].isin({persons.roots.get(one, one) for one in apart})
    if others.any():
        alone = counted(frame.loc[others, "customer_id"].nunique(), "customer")
        notes.append(f"Left out of both arms as bots or the shop's own people: {alone}.")
        frame = frame[~others]
    if not len(frame):
        raise IntentError(
            "nothing to compare: all customers with an action are bots or the shop's own people"
        )
    for version in [name for name, share in shares.items() if share == 0.0]:
        rows = frame["experiment"] == version
        alone = counted(frame.loc[rows, "customer_id"].nunique(), "customer")
        notes.append(f"Version {version} holds nobody out: {alone} left out.")
        frame = frame[~rows]
        del shares[version]
    if not shares:
        raise IntentError(
            f"nothing to compare: {' '.join(notes)} Set a holdout in the policy (docs/policy.md) and measure later"
        )
    joined = int((ids[frame.index].groupby(frame["customer_id"]).nunique() > 1).sum())
    if joined:
        notes.append(
            f"{counted(joined, 'customer')} had actions under several ids that logins have shown to be one person's: "
            "each counts once."
        )
    currency = settings.currency or _usual_currency(paid.table) or "EUR"
    outcome = payments(
        _of_persons(paid.table, persons), currency, first=paid.first, end=paid.end, money=paid.money
    )
    found = measure(
        frame, outcome, window_ms, shares, [str(one) for one in by], frozenset(persons.roots.values())
    )
    return found, [*notes, *paid.notes]


def _of_persons(table: Any, persons: Persons) -> Any:
    """Return events with what stands for each one's person in the place of the customer."""
    import pyarrow as pa

    at = table.schema.get_field_index("customer_id")
    times = table["event_time"].cast(pa.int64()).to_pylist()
    found = persons.ids(table["customer_id"].to_pylist(), times)
    return table.set_column(at, table.schema.field(at), pa.array(found, pa.string()))


def _excluded(settings: Any) -> frozenset[str]:
    from stream.decisions.traffic import read_excluded

    return frozenset() if settings.excluded_customers is None else read_excluded(settings.excluded_customers)


def shares_of(
    versions: Iterable[str], given: Iterable[str], default: float
) -> tuple[dict[str, float], list[str]]:
    """Return the share that is held out by version, and what was assumed.

    Parameters
    ----------
    given
        ``0.1`` for all versions, or ``v2=0.1`` for one.
    default
        For versions of which nothing else is known.
    """
    import re

    from stream.decisions.holdout import Assignment

    own: dict[str, float] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        own[name] = _share(number, text)
    versions, shares, notes = list(versions), {}, []
    for name in own:
        if name and name not in versions:
            raise typer.BadParameter(
                f"no action has the version {name!r}; there are {', '.join(versions)}",
                param_hint="'--holdout'",
            )
    for version in versions:
        ours = Assignment.shares_of_name(version)
        ending = re.search(r"[@:=_/-](0?\.\d+)$", version)
        if version in own or "" in own:
            shares[version] = own.get(version, own.get("", default))
        elif ours is not None:
            held, managed = ours  # who is managed by the shop is compared with nobody
            shares[version] = held / (1.0 - managed) if managed < 1.0 else 0.0
        elif ending:
            shares[version] = _share(ending[1], version)
        else:
            shares[version] = _share(str(default), f"INTENT_HOLDOUT={default:g}")
            notes.append(f"Version {version}: a holdout of {default:.1%} is assumed (INTENT_HOLDOUT).")
    return shares, notes


def _share(number: str, text: str) -> float:
    use = "use a number above 0 and below 1"
    try:
        share = float(number)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number; {use}", param_hint="'--holdout'") from None
    if not 0 < share < 1:
        raise typer.BadParameter(f"{text} is out of range; {use}", param_hint="'--holdout'")
    return share


def _usual_currency(table: Any) -> str | None:
    import pyarrow.compute as pc

    counts = pc.value_counts(pc.drop_null(table["currency"].combine_chunks())).to_pylist()
    return max(counts, key=lambda row: row["counts"])["values"] if counts else None


def _show(found: Uplift, notes: list[str]) -> None:
    from rich.markup import escape

    from offline.uplift import words
    from stream.cli.console import output

    screen = output()
    said = [words.headline(found), *words.advice(found), words.money(found)]
    for text in (*said, _by_arm(found)):
        if text:
            screen.print(escape(text))
    screen.print()
    screen.print(_checks(found) if found.failed else _effects(found))
    screen.print()
    for text in (*words.remarks(found), *notes):
        screen.print(escape(text))


def _by_arm(found: Uplift) -> str:
    """Return how many customers of each arm have bought, where there are too few of them to compare."""
    from offline.uplift.analysis import CONVERSION

    if found.failed or CONVERSION not in found.overall or found.overall[CONVERSION].at().known:
        return ""
    customers = found.outcomes.customers
    treated, bought = (customers[name].to_numpy(bool) for name in ("treated", "bought"))
    return (
        f"So far {int((bought & treated).sum()):,} of {int(treated.sum()):,} contacted customers have bought, and "
        f"{int((bought & ~treated).sum()):,} of {int((~treated).sum()):,} held out."
    )


def _effects(found: Uplift) -> object:
    from rich.table import Table

    from offline.uplift import words
    from offline.uplift.analysis import CONVERSION
    from stream.cli.console import add_columns

    table = Table(box=None, pad_edge=False)
    numbers = ("Number", "Bought", "Lift and 95%")
    add_columns(table, ("Customers",), "Customers", "Arm", *numbers, "Finding", right=numbers)
    rows: list[tuple[str, Effect, float, str]] = []
    if CONVERSION in found.overall:
        effect = found.overall[CONVERSION].at()
        rows.append(("all", effect, effect.p_value, words.verdict(effect)))
    rows += [
        (f"version {name}", one, one.p_value, words.verdict(one)) for name, one in found.versions.items()
    ]
    for column, groups in found.groups.items():
        rows += [(f"{column} {g.name}", g.effect, g.p_value, words.verdict(g)) for g in groups]
    for name, effect, p_value, verdict in rows:
        known = effect.known
        (kind, _, group) = name.partition(" ")
        table.add_row(
            kind,
            "contacted",
            f"{effect.treated:,}",
            words.share(effect.mean_treated) if known else "",
            f"{effect.lift:+.0%}" if known else "",
            verdict,
        )
        table.add_row(
            group,
            "held out",
            f"{effect.held_out:,}",
            words.share(effect.mean_held_out) if known else "",
            words.interval(effect) if known else "",
            words.p_words(p_value) if known else "",
        )
    return table


def _checks(found: Uplift) -> object:
    from rich.table import Table

    from offline.uplift import words
    from stream.cli.console import add_columns

    table = Table(box=None, pad_edge=False)
    numbers = ("Customers", "Held out", "Expected", "p")
    add_columns(table, ("Worst",), "Divided by", "Worst", *numbers, "", right=numbers)
    for check in found.checks:
        table.add_row(
            check.dimension,
            check.level,
            f"{check.customers:,}",
            f"{check.held_out:,}",
            f"{check.expected:,.0f}",
            words.p_value(check.p_value),
            "off" if check.failed else "",
        )
    return table
