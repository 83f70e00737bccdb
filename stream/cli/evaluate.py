"""`intent evaluate`: bundles side by side on the same moments of a log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks
from stream.cli.options import Partitions

if TYPE_CHECKING:
    import pyarrow as pa

    from features.bundle import Bundle
    from stream.scoring.score_log import ScoredLog
    from stream.settings import Settings

Log = Annotated[
    Path,
    typer.Argument(
        metavar="LOG", callback=checks.existing_log, help="An event log (Parquet) in order of arrival."
    ),
]
Bundles = Annotated[
    list[Path],
    typer.Option(
        "--bundle", metavar="DIR", help="A bundle; repeatable. The others are compared with the first."
    ),
]
Policy = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=checks.existing_file,
        help="Also count the actions that this policy decides on each bundle's scores.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Judge scores from this moment on: 2026-10-01, 2026-10-01T12:00:00Z, or 7d for the last 7 days. Default: "
        "where the test period of the newest bundle begins.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Of the draws behind the intervals.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `evaluate`."""
    app.command()(evaluate)


def evaluate(  # noqa: PLR0917  (options of a command)
    log: Log,
    bundle: Bundles,
    policy: Policy = None,
    since: Since = None,
    partitions: Partitions = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Say which bundle is better, on the same moments of a log.

    Every bundle scores the log as a worker would. Judged are the scores that no bundle has learned from and whose
    outcome is known. The intervals of the differences come from drawing customers, the same ones for every bundle.

    "Expected AUC" is the AUC that a bundle's probabilities promise before anybody knows what happened. If it lies far
    from the AUC, the probabilities are no longer true.

    Examples
    --------
    - `intent evaluate events.parquet --bundle old --bundle new`: is the new one better?
    - `intent evaluate events.parquet --bundle old --bundle new --policy policy.yaml`: also, what would it do?
    """
    from features.bundle import Bundle
    from features.log import read_log
    from features.logins import split_logins
    from offline.exceptions import TrainingError
    from offline.training.paired import paired
    from offline.training.streamed import judged, test_begin
    from stream.cli.console import output as console
    from stream.cli.console import print_json
    from stream.cli.evaluate_view import report, tables
    from stream.settings import load_settings
    from stream.texts import minute

    settings = load_settings()
    bundles = [Bundle.load(folder) for folder in bundle]
    _require_one_question(bundle, bundles)
    begin = (
        max(test_begin(one.manifest) for one in bundles)
        if since is None
        else checks.moment_ms(since, "--since")
    )
    table = read_log(log, on_note=lambda text: typer.echo(f"intent: {text}", err=True), identities=True)
    if partitions is None and table["partition"].null_count:
        partitions = settings.partitions
    scored = [
        _scored(table, one, settings, partitions, policy, folder)
        for folder, one in zip(bundle, bundles, strict=True)
    ]
    for log_of_one in scored:  # what a merge made is no event's
        log_of_one.scores = log_of_one.scores.filter(log_of_one.scores["merged"].is_null())
    first = scored[0].scores
    events, logins = split_logins(table)
    found = judged(
        events,
        first["event_id"],
        first["as_of"].cast("int64").to_numpy(),
        bundles[0].manifest,
        since=begin,
        lateness_ms=settings.lateness_ms,
        apart=first["traffic"].is_valid().to_numpy(),
        logins=logins,
    )
    if not len(found.labels):
        raise TrainingError(
            f"{log} has no score that can be judged from {minute(begin)} on: its outcome must be known, so the log "
            "must go on for one horizon and the lateness after it; give an earlier --since, or a longer log"
        )
    said = [one.scores["purchase_intent"].to_numpy()[found.scores] for one in scored]
    result = report(bundle, bundles, paired(found.labels, found.customers, said, seed=seed), scored, begin)
    if as_json:
        print_json(result)
        return
    for one in tables(result):
        console().print(one, soft_wrap=isinstance(one, str))


def _scored(  # noqa: PLR0917  (one for all that scoring needs)
    table: pa.Table,
    bundle: Bundle,
    settings: Settings,
    partitions: int | None,
    policy: Path | None,
    folder: Path,
) -> ScoredLog:
    from stream.cli.console import progress
    from stream.decisions.policy_file import read_policy
    from stream.decisions.rulebook import Rulebook
    from stream.scoring.engine import engine_of
    from stream.scoring.score_log import score_log

    engine = engine_of(settings, bundle)
    decide_by = [] if policy is None else [Rulebook.of(read_policy(policy), bundle, settings.holdout)]
    with progress(f"Scoring with {folder}") as on_progress:
        return score_log(
            table, engine, partitions=partitions, decide_by=decide_by, remember=False, on_progress=on_progress
        )


def _require_one_question(folders: list[Path], bundles: list[Bundle]) -> None:
    """Refuse bundles whose probabilities mean different things."""
    from features.bundle import question_differs
    from features.exceptions import BundleError

    for folder, other in zip(folders[1:], bundles[1:], strict=True):
        differs = question_differs(bundles[0].manifest, other.manifest)
        if differs:
            raise BundleError(f"{folders[0]} and {folder} do not foresee the same: {differs}")
