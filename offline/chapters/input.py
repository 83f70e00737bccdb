"""What the report says first: which data these are, and how they were understood."""

from __future__ import annotations

import pandas as pd

from features.counts import counted
from features.vector import COLUMNS
from offline.chapters.workspace import Workspace
from offline.problems.from_table import TableReading
from offline.report.section import Section, Table


def describe_input(workspace: Workspace) -> Section:
    """Return the account of the input: columns with kind, use and reason, target, and leaks."""
    if workspace.one_outcome:
        return _without_model(workspace)
    reading = workspace.reading
    problem = reading.problem
    figures = {
        "rows": len(problem),
        "unit": problem.unit,
        "target": problem.target_name,
        "prevalence": problem.prevalence,
        "leaks": dict(problem.leaks),
        "notes": list(reading.notes),
    }
    details = list(reading.notes)
    if isinstance(reading, TableReading):
        if problem.leaks:
            details.append("Figures are given with and without the columns that seem to know the target.")
        parts = [
            Table(
                "Columns of the table",
                reading.account,
                "What every column was taken for, and why. --kind COLUMN=KIND, --target, --leak, --not-leak and "
                "--drop overrule it.",
            )
        ]
        summary = [
            f"{counted(len(problem), problem.unit)}, {problem.prevalence:.1%} of them with {problem.target_name}. "
            f"How every "
            "column was understood stands below."
        ]
        return Section("input", "The data", summary, parts, {**figures, "columns": reading.account}, details)
    context = workspace.context
    summary = [
        f"Times are shown in {context.timezone}, money is in {context.currency}. What the data left open, and how it "
        "was understood, stands below."
    ]
    details.append(
        f"Predicted is a {problem.target_name}"
        + (" that begins on the next day" if context.label_start == "next-day" else "")
        + f": {'an' if problem.unit == 'event' else 'a'} {problem.unit} is positive if one follows."
    )
    details.append(
        "Chapters differ in their share of positives, because each judges on a later part of the time, and in their "
        "number of customers, because some need a known label, an order, or an order that was not taken back."
    )
    frame = pd.DataFrame(
        [(c.name, c.unit, c.meaning) for c in COLUMNS if c.name in problem.kinds],
        columns=["column", "unit", "meaning"],
    )
    parts = [
        Table(
            "Columns of the examples",
            frame,
            "What the stream knows about the customer when the event comes: the columns that it scores with.",
        )
    ]
    return Section("input", "The data", summary, parts, {**figures, "context": context._asdict()}, details)


def _without_model(workspace: Workspace) -> Section:
    """Return the account of a log from which no model can learn: what it is, and why."""
    context = workspace.context
    summary = [
        f"Times are shown in {context.timezone}, money is in {context.currency}. What the data left open, and how it "
        "was understood, stands below.",
        workspace.one_outcome,
    ]
    figures = {"events": len(workspace.log), "notes": list(workspace.notes), "context": context._asdict()}
    return Section("input", "The data", summary, [], figures, list(workspace.notes))
