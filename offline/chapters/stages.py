"""The stages of a report, in order, and how they are run. A new stage is one line in `STAGES`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from features.exceptions import IntentError
from offline.chapters.workspace import Input, Workspace
from offline.exceptions import MissingExtra
from offline.report.section import Section

Run = Callable[[Workspace], Section]

_OWN: Final = ("features", "offline", "stream")


class StageError(IntentError):
    """There is no such stage, or it cannot work on this input."""

    exit_code = 2


@dataclass(frozen=True)
class Stage:
    """A step of the report that ends in one section.

    Attributes
    ----------
    key
        Short name: of the section, of its files, and for ``--only`` and ``--skip``.
    title
        Headline for people.
    run
        Takes the workspace and returns the section. Reports progress by opening ``workspace.progress``.
    inputs
        What it can work on.
    learns
        Whether it needs a model, so that it can say nothing where all turned out alike.
    """

    key: str
    title: str
    run: Run
    inputs: tuple[Input, ...] = ("log", "table")
    learns: bool = False


@dataclass(frozen=True)
class LazyRun:
    """A stage's function by ``module:function``, imported when it is called: some need heavy packages."""

    name: str

    def load(self) -> Run:
        """Import the function.

        Raises
        ------
        MissingExtra
            A package that the stage needs is not installed.
        """
        module, _, function = self.name.partition(":")
        try:
            found: Run = getattr(importlib.import_module(module), function)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in _OWN:
                raise  # a fault of this program, not of the installation
            raise MissingExtra(error.name or "a package") from None
        return found

    def __call__(self, workspace: Workspace) -> Section:
        """Run the stage."""
        return self.load()(workspace)


def lazily(name: str) -> LazyRun:
    """Return a stage's function by ``module:function``, not imported yet."""
    return LazyRun(name)


STAGES: Final[tuple[Stage, ...]] = (
    Stage("input", "The data", lazily("offline.chapters.input:describe_input")),
    Stage("preparation", "Preparation", lazily("offline.chapters.preparation.section:prepare"), learns=True),
    Stage("exploration", "Exploration", lazily("offline.chapters.exploration.section:explore")),
    Stage(
        "products", "Products", lazily("offline.chapters.products.section:describe_products"), inputs=("log",)
    ),
    Stage("segments", "Segments", lazily("offline.chapters.segments.section:segment")),
    Stage("comparison", "Models", lazily("offline.chapters.comparison.section:compare_models"), learns=True),
    Stage(
        "selection",
        "Feature selection",
        lazily("offline.chapters.selection.section:select_columns"),
        learns=True,
    ),
    Stage("tuning", "Tuning", lazily("offline.chapters.tuning.section:tune_models"), learns=True),
    Stage("network", "Network", lazily("offline.chapters.networks.section:study_networks"), learns=True),
    Stage("insight", "Insight", lazily("offline.chapters.insight.section:gain_insight"), learns=True),
    Stage("forecast", "Forecast", lazily("offline.chapters.forecast.section:forecast"), inputs=("log",)),
    Stage(
        "recommendations",
        "Recommendations",
        lazily("offline.chapters.recommendation.section:recommend"),
        inputs=("log",),
    ),
    Stage(
        "budget",
        "Budget of contacts",
        lazily("offline.chapters.budget.section:choose_customers"),
        inputs=("log",),
    ),
    Stage(
        "bundle",
        "Model bundle",
        lazily("offline.chapters.bundle.section:train_bundle"),
        inputs=("log",),
        learns=True,
    ),
    Stage(
        "model_card", "Model card", lazily("offline.chapters.bundle.section:write_model_card"), learns=True
    ),
)


#: Stages whose commands have other names.
_COMMANDS: Final = {
    "prepare": "preparation", "explore": "exploration", "segment": "segments", "compare": "comparison",
    "select": "selection", "tune": "tuning", "recommend": "recommendations",
}  # fmt: skip


def choose(
    only: Collection[str] = (), skip: Collection[str] = (), stages: Sequence[Stage] = STAGES
) -> tuple[Stage, ...]:
    """Return the stages that are wanted, in their order; names may also be those of their commands.

    Raises
    ------
    StageError
        A name is that of no stage, or nothing is left.
    """
    keys = [stage.key for stage in stages]
    only, skip = ([_COMMANDS.get(key, key) for key in names] for names in (only, skip))
    for key in (*only, *skip):
        if key not in keys:
            raise StageError(f"there is no stage {key!r}: the stages are {', '.join(keys)}")
    chosen = tuple(s for s in stages if (not only or s.key in only) and s.key not in skip)
    if not chosen:
        raise StageError("no stage is left: name others by --only and --skip")
    return chosen


def run_stage(stage: Stage, workspace: Workspace) -> Section:
    """Run one stage on the input of a workspace.

    Raises
    ------
    StageError
        The stage does not work on this kind of input.
    """
    if workspace.input not in stage.inputs:
        raise StageError(f"{stage.key} needs an event log, {workspace.path.name} is a table")
    return stage.run(workspace)


def run_stages(
    workspace: Workspace,
    stages: Sequence[Stage] = STAGES,
    *,
    on_section: Callable[[Section], object] | None = None,
) -> list[Section]:
    """Run stages one after another, those that can work on the input.

    A stage that the data don't allow (a log too short for its horizon, say) leaves a section that says so; the
    others go on. Where nothing can be learned because all turned out alike, the stages that need a model are left out
    (`Workspace.note` says so). What is wrong with the input itself ends the run.

    Parameters
    ----------
    on_section
        Called with every section as soon as it is there.

    Raises
    ------
    StageError
        All stages need a model, and nothing can be learned.
    """
    only_counted = bool(workspace.one_outcome)  # an input that cannot be read ends here, not in every stage
    sections = []
    applicable = [
        stage for stage in stages if workspace.input in stage.inputs and not (stage.learns and only_counted)
    ]
    if only_counted and not applicable:
        raise StageError(workspace.one_outcome[:-1])
    with workspace.progress("Stages") as on_progress:
        for done, stage in enumerate(applicable):
            on_progress(done, len(applicable))
            try:
                section = run_stage(stage, workspace)
            except IntentError as error:
                section = _missing(stage, error)
            sections.append(section)
            if on_section is not None:
                on_section(section)
        on_progress(len(applicable), len(applicable))
    return sections


def _missing(stage: Stage, error: IntentError) -> Section:
    figures = {"done": False, "why": str(error)}
    return Section(stage.key, stage.title, [f"Not done: {error}"], [], figures, audience="data people")
