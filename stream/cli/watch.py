"""`intent watch`: scores, or actions, as they are published."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from stream.cli.following import Place
    from stream.clients.standing import Departure
    from stream.messages.score import ReasonRef, Recommendation, Score

# Customers that the table remembers, and shows. The former bounds memory.
_REMEMBERED = 10_000
_SHOWN = 20
# Of the recommended items.
_ITEMS = 3
#: Letters of a segment's name: with the other columns and ids of 16 letters they fill 80 columns.
SEGMENT = 18
# Reasons are shown where there is room for so many of their letters.
_REASON = 20
_BETWEEN = 2


class BandName(StrEnum):
    """Bands of the probability."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ArmName(StrEnum):
    """Arms of the experiment."""

    TREATMENT = "treatment"
    HOLDOUT = "holdout"
    CUSTOMER_MANAGED = "customer_managed"


_OF_SCORES = "Options for scores"
_OF_ACTIONS = "Options for actions (with --actions)"

Bands = Annotated[
    list[BandName] | None,
    typer.Option(
        "--band", metavar="low|medium|high", help="Only this band. Repeatable.", rich_help_panel=_OF_SCORES
    ),
]
Segment = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Only this segment: its number, or part of its name.",
        rich_help_panel=_OF_SCORES,
    ),
]
AllTraffic = Annotated[
    bool,
    typer.Option(
        "--all-traffic",
        help="Also show scores of bots and of the shop's own people.",
        rich_help_panel=_OF_SCORES,
    ),
]
Actions = Annotated[bool, typer.Option("--actions", help="Watch what is to be done instead of scores.")]
ActionNames = Annotated[
    list[str] | None,
    typer.Option(
        "--action", metavar="NAME", help="Only this action. Repeatable.", rich_help_panel=_OF_ACTIONS
    ),
]
Customer = Annotated[
    str | None,
    typer.Option(
        "--customer",
        metavar="ID",
        callback=checks.customer_id,
        help="Only this customer.",
        rich_help_panel=_OF_ACTIONS,
    ),
]
Arms = Annotated[
    list[ArmName] | None,
    typer.Option(
        "--arm",
        metavar="NAME",
        help="Only customers of this arm: treatment (the default), holdout, or customer_managed. Actions of the other "
        "two are not carried out. Repeatable.",
        rich_help_panel=_OF_ACTIONS,
    ),
]
Expired = Annotated[
    bool,
    typer.Option(
        "--expired", help="Also show actions whose time to act is over.", rich_help_panel=_OF_ACTIONS
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object per score or action. Default if the output is not a terminal."
    ),
]
FromBeginning = Annotated[
    bool, typer.Option("--from-beginning", help="Start with the oldest score or action instead of the next.")
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after N scores or actions.")]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=checks.group,
        help="Consumer group. Its members share what comes and continue where the group stopped.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add `watch`."""
    app.command()(watch)


def watch(  # noqa: PLR0917  (options of a command)
    band: Bands = None,
    segment: Segment = None,
    all_traffic: AllTraffic = False,
    as_json: AsJson = False,
    from_beginning: FromBeginning = False,
    limit: Limit = None,
    group: Group = None,
    actions: Actions = False,
    action: ActionNames = None,
    customer: Customer = None,
    arm: Arms = None,
    expired: Expired = False,
) -> None:
    """Watch scores, or actions, as they are published.

    On a terminal: a table of the customers who are most likely to buy; in a pipe: JSON lines. The band `high` is the
    top 5% of the scores in the reference data of the training, `medium` the next 15%, and `low` the rest. After a
    restart of a worker a score can be published again, with the same `event_id` and values: ignore the repetition.

    Scores of bots and of the shop's own people are left out. A customer leaves the table at a purchase, at the end of
    the horizon, and when a newer score is in another band or segment, or no customer's. A pipe gets a line then:
    `{"customer_id": ..., "left": "purchase", "as_of": ...}`, or `"horizon"`, `"filter"`, and `"displaced"` where more
    than 100,000 customers are on the list. Ages and horizons follow the log's own time where a log is replayed.

    The table shows three recommended items; a star marks the customer's own. A wide terminal also shows the strongest
    reason of each score: `+` makes a purchase more likely, `-` less likely. An erased customer leaves the table; in
    a pipe the line `{"customer_id": ..., "erased": true}` is printed, with `--band` or `--segment` only for customers
    on the list.

    `--actions` shows what the policy decides instead, the newest first: what may be done for whom, and how long there
    is time. Each action comes once. Those of customers who are held out, and those whose time is over, are left out.

    Examples
    --------
    - `intent watch --band high`: see who is about to buy
    - `intent watch --segment buyers --json | jq .customer_id`: print the ids of a segment's customers
    - `intent watch --group crm --band high --json`: continue where the group stopped
    - `intent watch --actions`: see what is to be done now, and how long there is time
    - `intent watch --actions --action win_back --json | jq .customer_id`: print whom to win back
    - `intent watch --actions --arm holdout --expired --from-beginning`: see what was not done, to compare
    """
    from stream.cli.following import Place

    table = not as_json and sys.stdout.isatty()
    place = Place(from_beginning=from_beginning, limit=limit, group=group)
    if actions:
        from stream.cli.watch_actions import follow_actions

        _refuse("it is about scores, not actions", band=band, segment=segment, all_traffic=all_traffic)
        follow_actions(place, action or (), customer, arm or [ArmName.TREATMENT], expired, table=table)
    else:
        _refuse(
            "it is about actions: add --actions", action=action, customer=customer, arm=arm, expired=expired
        )
        _follow_scores(place, band or (), segment, all_traffic, table=table)


def _refuse(why: str, **options: object) -> None:
    for name, value in options.items():
        if value:
            raise typer.BadParameter(why, param_hint=f"'--{name.replace('_', '-')}'")


def _follow_scores(
    place: Place, bands: Sequence[BandName], segment: str | None, all_traffic: bool, *, table: bool
) -> None:
    from stream.cli.following import follow, print_erased
    from stream.clients.watch import ScoreWatcher

    for said in unknown_segment(segment):
        typer.echo(f"intent: {said}", err=True)
    board = Board(now=lambda: watcher.now_ms)
    filtered = bool(bands) or segment is not None

    def erased(customer: str) -> None:
        if table:
            board.remove(customer)
        elif not filtered or watcher.lists(customer):
            print_erased(customer)

    watcher = ScoreWatcher(
        bands=[str(name) for name in bands],
        segment=segment,
        all_traffic=all_traffic,
        on_erased=erased,
        on_left=(lambda left: board.remove(left.customer_id)) if table else _print_left,
        **place,
    )
    filters = "--band, --segment and --all-traffic"
    follow(watcher, board if table else None, place=place, filters=filters)


def unknown_segment(wanted: str | None) -> Iterator[str]:
    """Yield what to say of a segment that the bundle of this machine has not; nothing where there is no bundle.

    Workers may run elsewhere with another bundle, so this is no error.
    """
    from stream.clients.watch import segments_in
    from stream.messages.score import is_segment, segment_names
    from stream.settings import load_settings

    if wanted is None:
        return
    bundle = load_settings().bundle
    there = segments_in(bundle)
    if there and not any(is_segment(one, wanted) for one in there):
        yield f"the bundle in {bundle} has no segment {wanted!r}; it has {segment_names(there)}"


def _print_left(left: Departure) -> None:
    from stream.cli.console import print_json

    print_json({"customer_id": left.customer_id, "left": left.reason, "as_of": left.as_of})


class Board:
    """The latest score of each of the customers that were seen last, hottest first; what is over is not shown.

    To rich it is a table, with the strongest reasons where the terminal has room for them.

    Parameters
    ----------
    remembered
        Customers at most.
    shown
        Rows at most.
    now
        The log's time, epoch ms; the newest score's where it is None.
    name, caption
        What stands above, with the log's time, and below, with counts.
    """

    def __init__(
        self,
        remembered: int = _REMEMBERED,
        shown: int = _SHOWN,
        now: Callable[[], int | None] = lambda: None,
        name: str = "Purchase intent",
        caption: str = "Ctrl-C stops",
    ) -> None:
        self._name, self._caption = name, caption
        self._remembered, self._shown = remembered, shown
        self._now = now
        self._newest = 0
        self._latest: dict[str, Score] = {}
        self._seen = 0

    def add(self, score: Score) -> None:
        """Take a score."""
        self._seen += 1
        self._newest = max(self._newest, score.as_of)
        self._latest.pop(score.customer_id, None)
        self._latest[score.customer_id] = score
        if len(self._latest) > self._remembered:
            del self._latest[next(iter(self._latest))]

    def remove(self, customer: str) -> None:
        """Forget a customer who was erased, or whose score holds no longer."""
        self._latest.pop(customer, None)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return what is shown."""
        now = max(self._newest, self._now() or 0)
        # A copy: this runs in the screen's own thread.
        present = [
            score
            for score in list(self._latest.values())
            if score.as_of + score.horizon_seconds * 1000 > now and not score.purchase
        ]
        yield fitted(
            console,
            options,
            lambda room: self._table(present, now, room),
            explained=any(score.reasons for score in present),
        )

    def _table(self, present: list[Score], now: int, room: int) -> Table:
        """Return the table, with the strongest reasons in so many letters; without if there are none."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        from stream.cli.console import add_columns
        from stream.texts import counted, minute, shortened

        hottest = sorted(present, key=lambda s: s.purchase_intent, reverse=True)[: self._shown]
        counts = f"{counted(len(present), 'customer')}, {counted(self._seen, 'score')}"
        shown = Table(
            title=f"{self._name}, {minute(now)}" if now else self._name,
            caption="; ".join(filter(None, [counts, self._caption])),
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        recommends = any(score.recommendation is not None for score in hottest)
        names = ["customer", "intent", "band", "segment", "action", "age"]
        if recommends:
            names.insert(-1, "offer: items")
        if room:
            names.append("reason")
        add_columns(shown, ("customer", "segment", "offer: items"), *names, right=("intent", "age"))
        for score in hottest:
            cells = [
                *cells_of(score),
                *([_recommended(score.recommendation)] if recommends else []),
                age(now - score.as_of),
                *([shortened(strongest(score.reasons), room)] if room else []),
            ]
            shown.add_row(*map(Text, cells), style="bold" if score.band == "high" else None)
        return shown


def fitted(
    console: Console, options: ConsoleOptions, table: Callable[[int], Table], *, explained: bool
) -> Table:
    """Return a table, with so many letters for reasons as the terminal has room for; with 0 if that is too little."""
    from rich.measure import Measurement

    plain = table(0)
    room = options.max_width - Measurement.get(console, options, plain).maximum - _BETWEEN
    return table(room) if explained and room >= _REASON else plain


def cells_of(score: Score) -> list[str]:
    """Return customer, intent, band, segment and action as a table shows them."""
    from stream.texts import shortened

    return [
        score.customer_id,
        f"{score.purchase_intent:.1%}",
        score.band,
        shortened(score.segment.name, SEGMENT),
        score.traffic or ("held out" if score.holdout else score.action),
    ]


def age(ms: int) -> str:
    """Return how old a score is, in one unit.

    Examples
    --------
    >>> age(0), age(65_000), age(7_200_000)
    ('now', '1 min', '2 h')
    """
    from features.durations import duration_unit

    seconds = ms // 1000
    if seconds <= 0:
        return "now"
    size, symbol = duration_unit(seconds)
    return f"{seconds // size} {symbol}"


def _recommended(found: Recommendation | None) -> str:
    """Return the offer and the first items; a star marks the customer's own."""
    if found is None:
        return ""
    items = ", ".join(found.items[:_ITEMS])
    return f"{found.offer}: {items}{' *' if found.source == 'customer' else ''}"


def strongest(reasons: Sequence[ReasonRef]) -> str:
    """Return the first reason's text; a sign says which way it moved the score."""
    return f"{'+' if reasons[0].effect > 0 else '-'} {reasons[0].text}" if reasons else ""
