"""The stage "insight": what drives conversion, reasons, what a contact is worth, and the value of customers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.exceptions import IntentError
from offline.chapters.insight.customer_looks import Look, lifetime, valuable_customers
from offline.chapters.insight.diagnostics import confusion, groups_look, groups_of_table
from offline.chapters.insight.driver_looks import Members, drivers_look, reasons_look, segments_look
from offline.chapters.insight.drivers import Drivers, explain
from offline.chapters.insight.effect_pictures import effects_by_value, waterfalls
from offline.chapters.insight.learning_curve import learning_curve
from offline.chapters.insight.likeliest import likeliest_look
from offline.chapters.insight.model import InsightModel, fit_insight_model
from offline.chapters.insight.profit_look import known_of, profit_look
from offline.chapters.insight.reasons import MOST, bands_of, explain_customers, latest_rows
from offline.chapters.segments.section import segments_of
from offline.chapters.segments.segmented import Segmented
from offline.chapters.workspace import QUICK_EVENTS, Workspace
from offline.examples.sampling import sample_customers
from offline.lab.models import MODELS
from offline.lab.wording import with_interval
from offline.problems.from_log import MOST_EVENTS
from offline.report.section import Calculator, Picture, Section, Table

_QUICK_ROWS = 800


def gain_insight(workspace: Workspace) -> Section:
    """Run the stage on the input of a report."""
    seed, log = workspace.options.seed, workspace.input == "log"
    with workspace.progress("Learning what drives conversion"):
        model = fit_insight_model(
            workspace.problem, workspace.holdout, seed=seed, quick=workspace.options.quick
        )
    with workspace.progress("Explaining"):
        drivers = explain(model, most_rows=_QUICK_ROWS) if workspace.options.quick else explain(model)
        looks = [drivers_look(model, drivers, log=log, seed=seed)]
    segments = _segments(workspace)
    if segments is not None:
        with workspace.progress("Explaining segments"):
            members = _members(workspace, segments, workspace.holdout.test[drivers.rows])
            looks.append(segments_look(model, drivers, members, log=log, seed=seed))
    if log:
        workspace.handover.bands = bands_of(model, workspace.problem, _problem_names(workspace))
    with workspace.progress("Finding reasons"):
        looks.append(_reasons(workspace, model, segments))
    view = workspace.customer_view if log else None
    known = known_of(workspace.options.contacts, view, workspace.options.currency)
    found = looks[-1].figures["explained"]
    unit = "customer" if log else workspace.problem.unit
    looks.insert(0, likeliest_look(model, unit, explained=found, log=log))
    looks.append(profit_look(model, known, unit, seed=seed))
    if view is not None and segments is not None:
        with workspace.progress("Lifetime values"):
            names = workspace.customer_names
            looks += [
                valuable_customers(view),
                lifetime(view, segments, names, workspace.directory, seed=seed),
            ]
    looks.append(_quality(model, workspace.handover.main, log=log))
    with workspace.progress("Judging the model in detail"):
        looks += _details(workspace, model, drivers, segments)
    summary = [sentence for look in looks for sentence in look.summary]
    parts: list[Table | Picture | Calculator] = [part for look in looks for part in look.parts]
    figures: dict[str, Any] = {name: value for look in looks for name, value in look.figures.items()}
    details = [sentence for look in looks for sentence in look.details]
    findings = [finding for look in looks for finding in look.findings]
    return Section("insight", "Insight", summary, parts, figures, details, findings)


def _quality(model: InsightModel, main: str | None, *, log: bool) -> Look:
    found = model.metrics
    who = "LightGBM, the main model," if main in (None, "lightgbm") else "LightGBM, which can be taken apart,"
    text = (
        f"How far to trust the explanations: {who} reaches AUC {with_interval(found, 'auc')} and PR-AUC "
        f"{with_interval(found, 'pr_auc')} at a prevalence of {found['prevalence']:.1%}, with a calibration error of "
        f"{found['ece']:.3f}, on rows it has not seen. They tell what the model goes by, which is not always "
        "what would change if somebody changed the column."
    )
    if model.with_leaks is not None:
        auc = model.with_leaks["auc"]
        text += f" Columns that seem to know the target are left out; with them the AUC would be {auc:.3f}."
    sentences = [text]
    if main not in (None, "lightgbm"):
        sentences.append(
            f"The main model of this report is {MODELS[main].title}; what it goes by may differ in part."
        )
    if not log:
        sentences.append("High-value customers and lifetime values need orders with money: an event log.")
    return Look([], [], {"metrics": found, "with_leaks": model.with_leaks}, sentences)


def _details(
    workspace: Workspace, model: InsightModel, drivers: Drivers, segments: Segmented | None
) -> list[Look]:
    """Return what people who know statistics want to see of the model."""
    options, log = workspace.options, workspace.input == "log"
    groups: dict[str, pd.Series] = {}
    if segments is not None:
        of = _members(workspace, segments, workspace.holdout.test).groups
        groups["segment"] = pd.Series([segments.names[k] if k >= 0 else None for k in of], dtype=object)
    groups |= _places(workspace) if log else groups_of_table(model, drivers.ranking)
    pictures: list[Table | Picture | Calculator] = [
        effects_by_value(model, drivers, log=log, seed=options.seed),
        waterfalls(model, drivers, log=log),
    ]
    return [
        Look([], pictures, {}),
        confusion(model),
        groups_look(model, groups, seed=options.seed),
        learning_curve(workspace.problem, workspace.holdout, seed=options.seed, quick=options.quick),
    ]


def _places(workspace: Workspace) -> dict[str, pd.Series]:
    """Return country and channel of a log's test rows: what the customer named most often before the test."""
    view, problem = workspace.customer_view, workspace.problem
    rows = workspace.holdout.test
    assert problem.times is not None  # a log's rows have times
    since = problem.times.iloc[rows].min().tz_convert(view.timezone).tz_localize(None)
    before = view.events[view.events["time"] < since]
    names = _problem_names(workspace)
    of = {name: at for at, name in enumerate(workspace.customer_names)}
    assert problem.groups is not None  # a log's rows have customers
    numbers = pd.Series([of.get(names[number], -1) for number in problem.groups[rows]])
    found = {}
    for what in ("country", "channel"):
        counts = before.groupby(["customer", what], observed=True).size().reset_index(name="times")
        counts = counts.sort_values("times", ascending=False, kind="stable").drop_duplicates("customer")
        usual = counts.set_index("customer")[what].astype(object)
        found[what] = numbers.map(usual).astype(object)
    return found


def _segments(workspace: Workspace) -> Segmented | None:
    """Return the segments, None where the data do not allow any: insight works without them."""
    try:
        return segments_of(workspace)
    except IntentError:
        return None


def _members(workspace: Workspace, segments: Segmented, rows: NDArray[np.intp]) -> Members:
    """Return the segments of test rows; of a log as they were when the test began, so that they don't know it."""
    if workspace.input == "table":
        return Members(segments.names, segments.members[rows])
    view, times = workspace.customer_view, workspace.problem.times
    assert times is not None  # a log's rows have times
    since = times.iloc[workspace.holdout.test].min().tz_convert(view.timezone).tz_localize(None)
    when = f"Segments as they were on {since:%d %b %Y}, before the test; customers who came later are in no segment."
    return Members(segments.names, _segments_of(workspace, segments.at(view, since), rows), when)


def _groups(workspace: Workspace, segments: Segmented, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the segment of rows of the problem, -1 where unknown."""
    if workspace.input == "table":
        return np.asarray(segments.members[rows])
    return _segments_of(workspace, pd.Series(segments.members, segments.frame.index), rows)


def _segments_of(workspace: Workspace, segment: pd.Series, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the segment of rows of a log's problem by that of their customers, by the numbers of `LogView`."""
    names = _problem_names(workspace)
    of = {name: at for at, name in enumerate(workspace.customer_names)}
    numbers = workspace.problem.groups
    assert numbers is not None  # a log's rows have customers
    known = pd.Series([of.get(names[number], -1) for number in numbers[rows]]).map(segment)
    return np.asarray(known.fillna(-1), np.int64)


def _reasons(workspace: Workspace, model: InsightModel, segments: Segmented | None) -> Look:
    """Return the reasons of a log's customers at their last event, or of a table's test rows."""
    problem, log = workspace.problem, workspace.input == "log"
    rows = latest_rows(problem) if log else workspace.holdout.test[:MOST]
    if workspace.options.quick:
        rows = rows[-_QUICK_ROWS:]
    names = _problem_names(workspace) if log else []
    of = None
    if segments is not None:
        of = [segments.names[k] if k >= 0 else "none" for k in _groups(workspace, segments, rows)]
    return reasons_look(explain_customers(model, problem, names, rows, of), workspace.directory)


def _problem_names(workspace: Workspace) -> list[str]:
    """Return customer ids by the numbers of the problem, whose log may be a sample."""
    log, most = workspace.log, QUICK_EVENTS if workspace.options.quick else MOST_EVENTS
    if len(log) > most:
        log = sample_customers(log, most / len(log))
    ids = pc.fill_null(log["customer_id"].combine_chunks(), "")
    names: list[str] = ids.dictionary_encode().dictionary.to_pylist()
    return names
