"""What a conversion shows: what became of each row, and what to do with the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offline.datasets import Conversion


def show(report: Conversion, output: Path, items: Path | None) -> None:
    """Print the account of a conversion, where the log and its items are, and what to do next."""
    from rich.markup import escape
    from rich.table import Table

    from stream.cli import console

    facts = Table(
        title=f"{report.source}: {', '.join(report.files[:3])}{', ...' if report.files[3:] else ''}"
    )
    facts.add_column("", overflow="fold")
    facts.add_column("rows or events", justify="right", no_wrap=True)
    facts.add_column("example", overflow="fold")
    facts.add_row("rows read", f"{report.rows:,}")
    facts.add_row("events", f"{report.events:,}")
    for name, count in report.by_type.items():
        facts.add_row(f"  {name}", f"{count:,}")
    facts.add_row("rows merged into orders", f"{report.merged:,}")
    facts.add_row("customers", f"{report.customers:,}")
    facts.add_row("first event", f"{report.first_time:%Y-%m-%d %H:%M:%S} UTC")
    facts.add_row("last event", f"{report.last_time:%Y-%m-%d %H:%M:%S} UTC")
    for title, counts in (("dropped rows", report.dropped), ("notes", report.notes)):
        facts.add_section()
        facts.add_row(
            f"[bold]{title}[/bold]", f"{sum(c.rows for c in counts):,}" if title == "dropped rows" else ""
        )
        for c in counts:
            facts.add_row(f"  {escape(c.reason)}", f"{c.rows:,}", escape(c.example or ""))
    out = console.output()
    out.print(facts)
    out.print(f"Log: {escape(str(output))}", soft_wrap=True)
    if items is not None:
        out.print(f"Names and categories of items: {escape(str(items))}", soft_wrap=True)
    out.print(_next(report, output), soft_wrap=True, markup=False)


def _next(report: Conversion, output: Path) -> str:
    """Return what to do with the log, or that it is hardly enough to train on."""
    from offline.training.needs import is_usually_enough, needs
    from stream.texts import counted

    purchases = report.by_type.get("purchase", 0)
    if is_usually_enough(report.events, report.customers, purchases):
        # Of orders alone, nothing tells within minutes who buys next.
        horizon = " --horizon 30d" if report.by_type.keys() <= {"purchase", "refund"} else ""
        return f"Next: `intent train {output} -o bundle{horizon}`"
    size = ", ".join(
        counted(count, name)
        for count, name in (
            (report.events, "event"), (report.customers, "customer"), (purchases, "purchase")
        )
    )  # fmt: skip
    return f"This log has {size}. For `intent train`, {needs()}."
