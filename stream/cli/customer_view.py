"""A customer as people read it: what a state says, and what the models look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from features.durations import duration_short
from features.events import COUNTED_TYPES
from features.vector import COLUMNS, NEVER_S, Column
from stream.texts import counted, moment

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

# Angles of the time of day and of the week say nothing to people.
_ANGLES: Final = frozenset({"hour_sin", "hour_cos", "weekday_sin", "weekday_cos"})

_SOURCES: Final = {"customer": "the customer's own", "segment": "of the segment", "popular": "popular"}


def customer_view(
    known: dict[str, Any], no_score: str, now_ms: int, *, no_offer: str = "", everything: bool = False
) -> list[RenderableType]:
    """Return what is shown of a customer, from top to bottom.

    Parameters
    ----------
    known
        What `stream.cli.customer.described` returns.
    no_score
        What to say where there is no score.
    now_ms
        Epoch milliseconds.
    no_offer
        What to say where nothing is recommended.
    everything
        Also columns that are zero.
    """
    from rich.text import Text

    head: list[RenderableType] = [
        Text(f"customer {known['customer_id']} (partition {known['partition']})", style="bold"),
        *map(Text, _links(known["links"], now_ms)),
    ]
    if known["state"] is None:
        return head
    return [
        *head,
        Text(_score_text(known["score"]) if known["score"] is not None else no_score),
        *map(Text, _reasons(known["score"])),
        *map(Text, _actions(known, now_ms)),
        *map(Text, _offer(known["recommendation"], no_offer)),
        *map(Text, _summary(known["state"], now_ms)),
        _types(known["state"], now_ms),
        _columns(known["vector"], everything=everything),
    ]


def _links(links: dict[str, Any] | None, now_ms: int) -> list[str]:
    """Return a line for each thing that is said about how the id stands to others."""
    if links is None:
        return []
    since = f" since {moment(_ms(links['since']))}, {_ago(links['since'], now_ms)}" if links["since"] else ""
    lines = []
    if links["customer_id"]:
        lines.append(f"known as {links['customer_id']}{since}: what happens under this id counts there")
    if links["shared"]:
        lines.append(f"shared by several customers{since}: what happens under this id counts for nobody else")
    if links["merged"]:
        lines.append(f"merged into this customer: {', '.join(links['merged'])}")
    if links["assigned"]:
        lines.append(f"came first as {links['assigned']}: stays in the arm of the experiment of that id")
    return lines


def _score_text(score: dict[str, Any]) -> str:
    return (
        f"{score['purchase_intent']:.1%} within {duration_short(score['horizon_seconds'] * 1000)} of the last event, "
        f"band {score['band']}, segment {score['segment']['name']} (model {score['model_version']})"
    )


def _reasons(score: dict[str, Any] | None) -> list[str]:
    """Return a line for each reason, with its effect on the log-odds."""
    found = [] if score is None else score["reasons"]
    return [f"because: {reason['text']} ({reason['effect']:+.2f} on the log-odds)" for reason in found]


def _actions(known: dict[str, Any], now_ms: int) -> list[str]:
    """Return a line for what is to be done now, and for what was decided last."""
    found = known["actions"]
    if found is None:
        return []
    lines = [f"action of the score: {known['score']['action']} (policy {found['policy_version']})"]
    undone = "" if found["arm"] == "treatment" else f"; not carried out, as the arm is {found['arm']}"
    for at, one in enumerate(found["last"]):
        when = f"{moment(_ms(one['decided_at']))}, {_ago(one['decided_at'], now_ms)}"
        until = f"; to be carried out until {moment(_ms(one['expires_at']))}" if one["expires_at"] else ""
        name = one["action"] or "one that the policy has no longer"
        lines.append(f"{'before' if at else 'last action'}: {name}, {when}{'' if at else until}{undone}")
    if not found["last"]:
        lines.append(
            f"no action yet of those that caps count ({', '.join(found['counted'])}){undone}"
            if found["counted"]
            else f"actions are not remembered: the policy has no caps, so look at `intent watch --actions`{undone}"
        )
    if found["waiting"]:
        waits = found["waiting"]
        lines.append(
            f"waiting: {waits['action']} ({waits['rule']}), until the quiet time ends {moment(_ms(waits['until']))}"
        )
    return [*lines, f"arm: {found['arm']}"]


def _offer(found: dict[str, Any] | None, no_offer: str) -> list[str]:
    if found is None:
        return [no_offer] if no_offer else []
    lines = [f"offer {found['offer']}: {found['text']}"]
    lines.append(f"items ({_SOURCES[found['source']]}): {', '.join(found['items']) or 'none'}")
    new = found.get("new_items")
    return [*lines, f"new to the customer: {', '.join(new)}"] if new else lines


def _summary(state: dict[str, Any], now_ms: int) -> list[str]:
    cart, session = state["cart"], state["session"]
    first, last = (
        f"{moment(_ms(at))}, {_ago(at, now_ms)}" for at in (state["first_event"], state["last_event"])
    )
    lines = [
        f"{counted(state['events'], 'event')}, {counted(session['number'], 'session')}",
        f"latest session: {counted(session['events'], 'event')}{_out_of_order(state)}",
        f"first event {first}",
        f"last event {last}",
        f"spent {state['spend']:,.2f}, refunded {state['refunded']:,.2f}",
        f"cart: {cart['quantity']:,.4g} {'item' if cart['quantity'] == 1 else 'items'}, value {cart['value']:,.2f}",
    ]
    if wished := state["wishlist"]["items"]:
        lines.append(f"wish list: {counted(wished, 'item')}")
    channels = [f"{name} {count:,}" for name, count in state["channels"].items() if count]
    return [*lines, f"channels: {', '.join(channels)}"] if channels else lines


def _out_of_order(state: dict[str, Any]) -> str:
    """Return why a first session has fewer events than the customer."""
    session = state["session"]
    left = state["events"] - session["events"]
    if session["number"] != 1 or not left:
        return ""
    return f" ({left:,} more came after a later one, and {'counts' if left == 1 else 'count'} in no session)"


def _types(state: dict[str, Any], now_ms: int) -> Table:
    table = _table(
        "Events", ("type", "left"), ("events", "right"), ("in this session", "right"), ("latest", "left")
    )
    for name in COUNTED_TYPES:
        if state["counts"][name]:
            session = state["session"]["counts"][name]
            latest = _ago(state["latest"][name], now_ms)
            table.add_row(name, f"{state['counts'][name]:,}", f"{session:,}" if session else "", latest)
    return table


def _columns(vector: dict[str, float], *, everything: bool) -> Table:
    shown = [
        column
        for column in COLUMNS
        if everything
        or column.name.startswith("since_")
        or (vector[column.name] and column.name not in _ANGLES)
    ]
    table = _table(
        "The models' input, as of the last event", ("column", "left"), ("value", "right"), ("meaning", "left")
    )
    for column in shown:
        table.add_row(column.name, column_text(column, vector[column.name]), column.meaning.partition(";")[0])
    if len(shown) < len(COLUMNS):
        table.caption = (
            f"{counted(len(COLUMNS) - len(shown), 'column')} are zero or angles of the time: --all shows them"
        )
    return table


def column_text(column: Column, value: float) -> str:
    """Return a column's value as people read it.

    Examples
    --------
    >>> column = COLUMNS[0]
    >>> column.name, column_text(column, 10_800.0), column_text(column, NEVER_S), column_text(column, 0.0)
    ('since_view_item', '3 h ago', 'never', 'now')
    """
    if column.unit == "s" and value >= NEVER_S:
        return "never" if column.name.startswith("since_") else "none"
    if column.name.startswith("since_"):
        return f"{duration_short(value * 1000)} ago" if value else "now"
    if column.unit == "s":
        return duration_short(value * 1000)
    if column.unit == "money":
        return f"{value:,.2f}"
    return f"{value:.0%}" if column.unit == "share" else f"{value:,.4g}"


def _table(title: str, *columns: tuple[str, str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=name != "meaning", overflow="fold")  # type: ignore[arg-type]
    return table


def _ago(time: str | None, now_ms: int) -> str:
    """Return how long ago a time of `features.state.view` was."""
    if time is None:
        return "never"
    past = now_ms - _ms(time)
    return f"{duration_short(past)} ago" if past >= 0 else f"in {duration_short(-past)}"


def _ms(time: str) -> int:
    from datetime import datetime

    from features.events import epoch_ms

    return epoch_ms(datetime.fromisoformat(time))
