"""`intent bundle`: bundles side by side on a shelf, and signatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stream.cli import checks

if TYPE_CHECKING:
    from features.shelf import Slots

Shelf = Annotated[Path, typer.Argument(metavar="SHELF", help="A folder of bundles by version.")]
Folder = Annotated[
    Path, typer.Argument(metavar="BUNDLE", callback=checks.existing_path, help="The folder of a bundle.")
]
FolderOrShelf = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE",
        callback=checks.existing_path,
        help="The folder of a bundle, or a shelf: all of its bundles.",
    ),
]
FolderOrSlots = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE",
        callback=checks.existing_path,
        help="The folder of a bundle, or a shelf: its slots alone.",
    ),
]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="Names a bundle on the shelf.")]
To = Annotated[
    Literal["live", "canary", "shadow", "none"],
    typer.Option("--to", help="The slot; none takes a shadow or canary out of its slot."),
]
Share = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the customers that get the canary's scores, above 0 and below 1: 0.05.",
    ),
]
Anyway = Annotated[
    bool, typer.Option("--anyway", help="Make it live whether it has been shown to be better or not.")
]
PrivateKey = Annotated[
    Path,
    typer.Option(
        "--key",
        metavar="FILE",
        callback=checks.existing_file,
        help="The private key (Ed25519, PEM) to sign with.",
    ),
]
SlotsKey = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        callback=checks.existing_file,
        help="The private key to sign the shelf's slots with; needed with INTENT_BUNDLE_KEY.",
    ),
]
PublicKey = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        callback=checks.existing_file,
        help="The public key (PEM). Default: INTENT_BUNDLE_KEY.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_HELP = """
Keep bundles side by side, switch between them, sign them.

A shelf is a folder with a bundle for each version. One bundle is live: its scores are published. A shadow scores the
same events, and only the learner sees what it says. A canary's scores go to a share of the customers. Set
`INTENT_BUNDLE` to the shelf: workers and the learner follow it within seconds, without a restart.

Examples
--------
- `intent bundle add shelf bundle`: make a shelf; its first bundle is live
- `intent bundle add shelf new-bundle --to shadow`: have a new bundle judged beside it
- `intent bundle promote shelf 3f2a91c07d1e`: make that one live, if it is shown to be better
- `intent bundle rollback shelf`: go back to the one before
"""


def register(app: typer.Typer) -> None:
    """Add `bundle` and its subcommands."""
    bundle = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help=_HELP)
    bundle.command("list")(list_)
    bundle.command("add")(add)
    bundle.command("promote")(promote)
    bundle.command("rollback")(rollback)
    bundle.command("sign")(sign)
    bundle.command("verify")(verify)
    app.add_typer(bundle, name="bundle")


def list_(shelf: Shelf, as_json: AsJson = False) -> None:
    """List the bundles of a shelf, and what each of them does.

    With `INTENT_BUNDLE_KEY` the signatures are checked, too.

    Examples
    --------
    - `intent bundle list shelf`: list the bundles
    - `intent bundle list shelf --json`: the same for programs
    """
    from msgspec import to_builtins
    from rich.table import Table

    from features.shelf import read_slots
    from stream.cli.bundle_shelf import described, slots_signature
    from stream.cli.console import add_columns, output, print_json
    from stream.settings import load_settings

    slots, key = read_slots(shelf), load_settings().bundle_key
    bundles, signature = described(shelf, slots, key), slots_signature(shelf, slots, key)
    if as_json:
        print_json({"slots": to_builtins(slots), "slots_signature": signature, "bundles": bundles})
        return
    table = Table(box=None, pad_edge=False)
    add_columns(table, ("Signature",), "Slot", "Version", "Made (UTC)", "Data up to", "Signature")
    for one in bundles:
        table.add_row(
            one["slot"], one["version"], _minute(one["made"]), _minute(one["data_up_to"]), one["signature"]
        )
    output().print(table)
    if signature != "none":
        output().print(f"\nSignature of the slots: {signature}.".replace("..", "."), markup=False)
    if slots.former:
        output().print(f"\n`intent bundle rollback` goes back to {slots.former[-1].version}.", markup=False)


def _minute(moment: str) -> str:
    """Return a moment of a manifest in UTC, short enough for a narrow terminal; empty where there is none."""
    from datetime import UTC, datetime

    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M}" if moment else ""


def add(shelf: Shelf, bundle: Folder, to: To = "none", share: Share = None, key: SlotsKey = None) -> None:
    """Copy a bundle to a shelf.

    The first one becomes live. A later one must foresee the same as the live one: horizon, time zone, currency. With
    `--to` it gets a slot at once.

    Examples
    --------
    - `intent bundle add shelf bundle`: put a bundle on the shelf
    - `intent bundle add shelf bundle --to shadow`: and have it score beside the live one
    """
    from features.shelf import is_shelf
    from stream.cli.bundle_shelf import Keys, put
    from stream.settings import load_settings

    _check_share(to, share)  # before anything is copied
    if not is_shelf(shelf) and to not in {"none", "live"}:
        raise typer.BadParameter(
            f"{shelf} is no shelf yet, and its first bundle is live: leave it out", param_hint="'--to'"
        )
    first, version = put(shelf, bundle, Keys(load_settings().bundle_key, key))
    typer.echo(f"{shelf}: bundle {version} is there" + (", and live" if first else ""))
    if not first and to != "none":
        promote(shelf, version, to=to, share=share, key=key)


def promote(
    shelf: Shelf,
    version: Version,
    to: To = "live",
    share: Share = None,
    anyway: Anyway = False,
    key: SlotsKey = None,
) -> None:
    """Make a bundle of a shelf live, or give it another slot.

    A bundle becomes live only if the learner has shown that it is better: as shadow or canary it was judged on the same
    events as the live one, and the 95% interval of the difference of their log-losses lies below 0. `--anyway` does
    without that.

    Examples
    --------
    - `intent bundle promote shelf 3f2a91c07d1e --to shadow`: score beside the live one
    - `intent bundle promote shelf 3f2a91c07d1e --to canary --share 0.05`: publish its scores for 5% of the customers
    - `intent bundle promote shelf 3f2a91c07d1e`: make it live, if it is better
    - `intent bundle promote shelf 3f2a91c07d1e --to none`: take it out of its slot
    """
    from stream.cli.bundle_shelf import Keys, change_slots, now_text, require_better, require_usable
    from stream.settings import load_settings

    _check_share(to, share)
    settings, said = load_settings(), ""

    def change(slots: Slots) -> Slots:
        nonlocal said
        require_usable(shelf, version, settings.bundle_key)
        if version == slots.live:
            raise typer.BadParameter(
                f"{version} is live already: promote another one", param_hint="'VERSION'"
            )
        if share is not None:
            return slots.with_canary(version, share)
        if to != "live":
            return slots.shadowed_by(version) if to == "shadow" else slots.without(version)
        if not anyway:
            said = require_better(settings, slots, version)
        return slots.promoted(version, now_text())

    new = change_slots(shelf, Keys(settings.bundle_key, key), change)
    _tell(shelf, new, said)


def _check_share(to: str, share: float | None) -> None:
    if (to == "canary") != (share is not None):
        raise typer.BadParameter(
            "a canary needs it, say 0.05" if share is None else "it is for --to canary",
            param_hint="'--share'",
        )
    if share is not None and not 0 < share < 1:
        raise typer.BadParameter(
            f"{share:g} is out of range; use a number above 0 and below 1", param_hint="'--share'"
        )


def rollback(shelf: Shelf, key: SlotsKey = None) -> None:
    """Make the bundle live again that was live before.

    Examples
    --------
    - `intent bundle rollback shelf`: go back by one
    """
    from stream.cli.bundle_shelf import Keys, change_slots, require_usable
    from stream.settings import load_settings

    public = load_settings().bundle_key

    def change(slots: Slots) -> Slots:
        new = slots.rolled_back()
        require_usable(shelf, new.live, public)
        return new

    _tell(shelf, change_slots(shelf, Keys(public, key), change))


def sign(bundle: FolderOrSlots, key: PrivateKey) -> None:
    """Sign a bundle, or the slots of a shelf.

    Nobody can change a signed bundle unnoticed, nor which bundle of a shelf does what.

    Where `INTENT_BUNDLE_KEY` names the public key, workers and the learner refuse what has no valid signature.
    `openssl genpkey -algorithm ed25519 -out private.pem` makes a key, and
    `openssl pkey -in private.pem -pubout -out public.pem` its public part.

    Examples
    --------
    - `intent bundle sign bundle --key private.pem`: write `signature.json` into the bundle
    - `intent bundle sign shelf --key private.pem`: sign the slots of a shelf as they are
    """
    from features.bundle import Bundle
    from features.shelf import is_shelf
    from features.signing import sign as signed
    from stream.cli.bundle_shelf import Keys, sign_slots
    from stream.settings import load_settings
    from stream.texts import counted

    if is_shelf(bundle):
        slots = sign_slots(bundle, Keys(load_settings().bundle_key, key))
        typer.echo(f"{bundle}: the slots are signed")
        _tell(bundle, slots)
        return
    version = Bundle.load(bundle).manifest.version  # what is damaged is not signed
    found = signed(bundle, key)
    typer.echo(f"{bundle}: bundle {version} is signed, {counted(len(found.files), 'file')}")


def verify(bundle: FolderOrShelf, key: PublicKey = None) -> None:
    """Check the signature of a bundle, or those of a shelf.

    A shelf has a signature for each of its bundles, and one of its slots.

    Examples
    --------
    - `intent bundle verify bundle --key public.pem`: check a bundle
    - `INTENT_BUNDLE_KEY=public.pem intent bundle verify shelf`: check all bundles of a shelf
    """
    from features.bundle import Bundle
    from features.shelf import is_shelf, read_slots
    from stream.cli.bundle_shelf import folders
    from stream.settings import load_settings

    public = key or load_settings().bundle_key
    if public is None:
        raise typer.BadParameter("name the public key, or set INTENT_BUNDLE_KEY", param_hint="'--key'")
    for folder in folders(bundle) if is_shelf(bundle) else [bundle]:
        version = Bundle.load(folder, key=public).manifest.version
        typer.echo(f"{folder}: bundle {version} is as it was signed")
    if is_shelf(bundle):
        read_slots(bundle, public)
        typer.echo(f"{bundle}: the slots are as they were signed")


def _tell(shelf: Path, slots: Slots, said: str = "") -> None:
    if said:
        typer.echo(said)
    does = [f"{version} is {slot}" for version, slot in slots.used.items()]
    if slots.canary is not None:
        does[-1] += f" for {slots.canary.share:.0%} of the customers"
    typer.echo(f"{shelf}: " + ", ".join(does))
