"""The stage "exploration": all looks at a log or a table, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from offline.chapters.exploration.category_rates import rates
from offline.chapters.exploration.channels import channels
from offline.chapters.exploration.cohorts import cohorts
from offline.chapters.exploration.customers import buyers
from offline.chapters.exploration.drift import drift
from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.funnel import funnel
from offline.chapters.exploration.overview import overview
from offline.chapters.exploration.patterns import patterns
from offline.chapters.exploration.relations import correlations, regressions
from offline.chapters.exploration.table_looks import description, distributions, ranking
from offline.chapters.exploration.trends import trends
from offline.chapters.exploration.worldmap import countries
from offline.chapters.workspace import Workspace
from offline.lab.differences import supported
from offline.problems.problem import Problem
from offline.progress import OnProgress
from offline.report.section import Finding, Section
from offline.views.log_view import LogView

_SURE: Final = "Tested: more than chance, all comparisons of this chapter together (Holm, 5%)."
# Sentences that everybody reads; data people read the others, too.
_MOST: Final = 8
# Looks whose differences somebody can act on.
_ACTED_ON: Final = ("rates",)
_ADVICE: Final = "Look here first when you plan the next campaign. Whether it is a cause, only a trial tells."

LOG_LOOKS = (overview, patterns, buyers, trends, cohorts, funnel, channels, countries)
TABLE_LOOKS = (description, drift, distributions, rates, correlations, regressions)


def explore(workspace: Workspace) -> Section:
    """Run the stage on the input of a report."""
    with workspace.progress("Exploring") as on_progress:
        if workspace.input == "log":
            view = LogView.of(workspace.log, workspace.context)
            # Without two outcomes there is nothing that single features could tell of them.
            problem = None if workspace.one_outcome else workspace.problem
            return explore_log(view, problem, on_progress=on_progress)
        return explore_table(workspace.problem, on_progress=on_progress)


def explore_log(
    view: LogView, problem: Problem | None = None, *, on_progress: OnProgress | None = None
) -> Section:
    """Return all looks at a log; with its examples also what single features say about the target."""
    findings = []
    total = len(LOG_LOOKS) + (2 if problem is not None else 0)
    for done, look in enumerate(LOG_LOOKS):
        findings.append(look(view))
        _tell(on_progress, done + 1, total)
    if problem is not None:
        aucs = ranking(problem)
        _tell(on_progress, total - 1, total)
        features = [drift(problem), regressions(problem, aucs), correlations(problem, aucs)]
        findings += [
            found._replace(name=f"features_{found.name}", summary=(), claims=(), details=())
            for found in features
        ]
        _tell(on_progress, total, total)
    return _section(findings)


def explore_table(problem: Problem, *, on_progress: OnProgress | None = None) -> Section:
    """Return all looks at a table."""
    aucs = ranking(problem)
    findings = []
    for done, look in enumerate(TABLE_LOOKS):
        findings.append(look(problem, aucs))
        _tell(on_progress, done + 1, len(TABLE_LOOKS))
    return _section(findings)


def told(findings: Sequence[Findings]) -> list[str]:
    """Return the sentences of all looks: of differences only those that are more than chance, all looks together."""
    stand = iter(supported([claim for found in findings for claim in found.claims]))
    sentences: list[str] = []
    for found in findings:
        sentences += found.summary
        sentences += [claim.sentence for claim in found.claims if next(stand)]
    return sentences


def _section(findings: Sequence[Findings]) -> Section:
    summary = told(findings)
    differences = [claim.sentence for found in findings if found.name in _ACTED_ON for claim in found.claims]
    return Section(
        "exploration",
        "Exploration",
        summary[:_MOST],
        [part for found in findings for part in found.parts],
        {found.name: found.figures for found in findings if found.figures is not None},
        [*summary[_MOST:], *(sentence for found in findings for sentence in found.details)],
        [Finding(sentence, _SURE, _ADVICE) for sentence in summary if sentence in differences],
    )


def _tell(on_progress: OnProgress | None, done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(done, total)
