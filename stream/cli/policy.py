"""`intent policy`: check a policy file, show the policy in force, and try one on a log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks
from stream.cli.options import BundleFolder, Partitions

if TYPE_CHECKING:
    from features.bundle import Bundle
    from stream.decisions.rulebook import Rulebook
    from stream.settings import Settings

File = Annotated[
    Path, typer.Argument(metavar="FILE", callback=checks.existing_file, help="A policy file (YAML).")
]
Log = Annotated[
    Path,
    typer.Argument(
        metavar="LOG", callback=checks.existing_log, help="An event log (Parquet) in order of arrival."
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        "--against",
        metavar="FILE",
        callback=checks.existing_file,
        help="Compare with this policy. Default: that of INTENT_POLICY, else the program's.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="ACTIONS",
        callback=checks.actions_file,
        help="Also write the actions of FILE (.parquet or .jsonl).",
    ),
]
AsYaml = Annotated[
    bool,
    typer.Option(
        "--yaml",
        help="Print the file itself, as a beginning for your own: that of INTENT_POLICY, or the program's.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_HELP = """
Check, show and try the policy that chooses actions.

A policy says which action is due for whom, how often, and when. `INTENT_POLICY` names the shop's own.

Examples
--------
- `intent policy show --yaml > policy.yaml`: begin with the policy of the program
- `intent policy check policy.yaml`: check what you wrote
- `intent policy dry-run policy.yaml events.parquet`: see what it would do
"""


def register(app: typer.Typer) -> None:
    """Add `policy` and its subcommands."""
    policy = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help=_HELP)
    policy.command("check")(check)
    policy.command("show")(show)
    policy.command("dry-run")(dry_run)
    app.add_typer(policy, name="policy")


def check(file: File, bundle: BundleFolder = None) -> None:
    """Check a policy file.

    What is wrong is one line: the place, the value, and what is allowed. With a bundle its segments and bands are
    compared, too.

    Examples
    --------
    - `intent policy check policy.yaml`: check a file
    - `intent policy check policy.yaml --bundle bundle`: check also that its segments are those of the bundle
    """
    from stream.decisions.policy_file import read_policy
    from stream.decisions.rulebook import Rulebook
    from stream.settings import load_settings
    from stream.texts import counted

    settings = load_settings()
    policy = read_policy(file)
    models = _bundle(settings, bundle)
    if models is not None:
        for sentence in Rulebook.of(policy, models, settings.holdout).warnings():
            typer.echo(f"intent: {file}: {sentence}", err=True)
    against = (
        "; segments and bands were compared with no bundle: name one by --bundle"
        if models is None
        else f", for bundle {models.manifest.version}"
    )
    typer.echo(f"{file}: good, policy {policy.version} with {counted(len(policy.rules), 'rule')}{against}")


def show(bundle: BundleFolder = None, as_yaml: AsYaml = False) -> None:
    """Show the policy that a worker would start with now.

    It is the file that `INTENT_POLICY` names, else that of the program. Its rules stand in the order in which they are
    asked, then what holds for all of them. A worker that runs takes a changed file within a second, unless the file is
    bad: then the one of before stays in force there, and here you are told what is wrong. Each action names the version
    that it was decided with.

    Examples
    --------
    - `intent policy show`: show the rules
    - `intent policy show --yaml`: print the file
    """
    from stream.decisions.policy_file import default_policy, default_text, described, read_policy
    from stream.decisions.reading import read_text
    from stream.decisions.rulebook import Rulebook, policy_version, summary
    from stream.decisions.traffic import described_bots
    from stream.exceptions import PolicyError
    from stream.settings import load_settings

    settings = load_settings()
    place = (
        f"{settings.policy} (INTENT_POLICY)" if settings.policy else "the program (INTENT_POLICY is not set)"
    )
    try:
        policy = default_policy() if settings.policy is None else read_policy(settings.policy)
    except PolicyError as error:
        raise PolicyError(
            f"{error}. A running worker keeps the policy of before; a new one does not start"
        ) from None
    if as_yaml:
        typer.echo(f"intent: this is policy {policy_version(policy)} of {place}", err=True)
        typer.echo(default_text() if settings.policy is None else read_text(settings.policy), nl=False)
        return
    typer.echo(f"policy {policy_version(policy)} of {place}")
    for at, line in enumerate(described(policy), 1):
        typer.echo(f"{at:3}. {line}")
    for line in described_bots(policy.traffic):
        typer.echo(f"     {line}")
    models = _bundle(settings, bundle)
    if models is not None:
        for line in summary(Rulebook.of(policy, models, settings.holdout)):
            typer.echo(f"     {line}")


def dry_run(
    file: File,
    log: Log,
    against: Against = None,
    output: Output = None,
    bundle: BundleFolder = None,
    partitions: Partitions = None,
    as_json: AsJson = False,
) -> None:
    """Say what a policy would have done on a log, beside another.

    The log is scored once, and both policies decide on the same scores. Counted by action, segment and day are the
    actions that would have been carried out. Those that would not, because the customer is in the holdout or managed by
    the shop, stand below the actions; with them, they are the sum of `sent` over all rules.

    Examples
    --------
    - `intent policy dry-run policy.yaml events.parquet`: compare with the policy of INTENT_POLICY
    - `intent policy dry-run new.yaml events.parquet --against old.yaml -o actions.parquet`: compare two files
    """
    from features.bundle import Bundle
    from features.log import read_log
    from stream.cli.console import output as console
    from stream.cli.console import print_json, progress
    from stream.cli.policy_view import compared, tables
    from stream.decisions.policy_file import read_policy
    from stream.decisions.rulebook import Rulebook
    from stream.scoring.action_log import write_actions
    from stream.scoring.engine import engine_of
    from stream.scoring.score_log import score_log
    from stream.settings import load_settings

    settings = load_settings()
    models = Bundle.load(bundle or settings.bundle)
    engine = engine_of(settings, models)
    new = Rulebook.of(read_policy(file), models, settings.holdout)
    old = engine.rulebook
    if against is not None:
        old = Rulebook.of(read_policy(against), models, settings.holdout)
    _warn(file, new)
    table = read_log(log, on_note=lambda text: typer.echo(f"intent: {text}", err=True), identities=True)
    if partitions is None and table["partition"].null_count:
        partitions = settings.partitions
    with progress("Scoring and deciding") as on_progress:
        scored = score_log(
            table,
            engine,
            partitions=partitions,
            decide_by=[old, new],
            remember=False,
            on_progress=on_progress,
        )
    before, after = scored.decided
    if output is not None:
        write_actions(output, after.actions)
    found = compared(before, after)
    if as_json:
        print_json(found)
        return
    for one in tables(found):
        console().print(one)


def _warn(file: Path, rulebook: Rulebook) -> None:
    for sentence in rulebook.warnings():
        typer.echo(f"intent: {file}: {sentence}", err=True)


def _bundle(settings: Settings, folder: Path | None) -> Bundle | None:
    """Return the bundle that was asked for, else the one of the settings if it is there."""
    from features.bundle import Bundle, has_bundle

    if folder is not None:
        return Bundle.load(folder)
    return Bundle.load(settings.bundle) if has_bundle(settings.bundle) else None
