"""What `intent bundle` does with a shelf: copy bundles to it, describe them, and ask whether one is better."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from features.durations import duration_short

if TYPE_CHECKING:
    from features.shelf import Slots
    from stream.learning.judging.rivals import Judged
    from stream.learning.report import Report
    from stream.settings import Settings

# Where a bundle is copied to before it appears on the shelf.
_ADDING: Final = ".adding-"


@dataclass(frozen=True)
class Keys:
    """The keys of who changes a shelf.

    Attributes
    ----------
    public
        Without a signature of its owner nothing is used; ``None``: signatures are not asked for.
    private
        To sign the slots with.
    """

    public: Path | None
    private: Path | None = None

    def signed(self, shelf: Path, slots: Slots) -> Slots:
        """Return slots as they may be written.

        Raises
        ------
        BundleError
            They have to be signed, and there is no private key, or another one than the public key's.
        """
        from features.exceptions import BundleError

        if self.private is None:
            if self.public is None and slots.signature is None:
                return slots
            raise BundleError(f"the slots of {shelf} have to be signed: name the private key, --key FILE")
        signed = slots.signed(self.private, time.time_ns() // 1_000_000)
        if self.public is not None:
            try:
                signed.verify(shelf, self.public)
            except BundleError:
                raise BundleError(f"{self.private} is not the private key of {self.public}") from None
        return signed


def put(shelf: Path, folder: Path, keys: Keys) -> tuple[bool, str]:
    """Copy a bundle to a shelf, which is made if it is missing; return whether it is the first one, and its version.

    Raises
    ------
    BundleError
        It cannot be used, does not foresee the same as the live one, or the shelf has another one of its version.
    """
    from features.bundle import MANIFEST, Bundle
    from features.exceptions import BundleError
    from features.shelf import Slots, changing, is_shelf, on_shelf, write_slots

    if is_shelf(folder):
        raise BundleError(f"{folder} is a shelf: name one of its bundles")
    manifest = Bundle.load(folder, key=keys.public).manifest
    target = on_shelf(shelf, manifest.version)
    if (shelf / MANIFEST).exists():
        raise BundleError(f"{shelf} is a bundle: name another folder for the shelf")
    shelf.mkdir(parents=True, exist_ok=True)
    with changing(shelf):
        first = not is_shelf(shelf)
        if first:
            slots = keys.signed(shelf, Slots(live=manifest.version))
        else:
            _require_same_question(shelf, manifest.version, manifest)
        if target.exists():
            if _contents(target) != _contents(folder):
                raise BundleError(
                    f"{target} is another bundle of the same version: train again, or remove it"
                )
        else:
            for left in shelf.glob(f"{_ADDING}*"):  # by a killed one: who adds now has the lock
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=shelf, prefix=_ADDING) as scratch:
                copied = shutil.copytree(folder, Path(scratch) / manifest.version, ignore=_partial)
                copied.rename(target)  # whole, or not there
        if first:
            write_slots(shelf, slots)
    return first, manifest.version


def change_slots(shelf: Path, keys: Keys, change: Callable[[Slots], Slots]) -> Slots:
    """Change the slots of a shelf, and sign them where they are signed or have to be; return the new ones.

    Parameters
    ----------
    change
        Given the present ones, returns the new ones, or raises.

    Raises
    ------
    BundleError
        The present ones cannot be used, or the new ones cannot be signed; nothing has changed.
    """
    from features.shelf import changing, read_slots, write_slots

    read_slots(shelf)  # what is no shelf gets no lock
    with changing(shelf):
        slots = keys.signed(shelf, change(read_slots(shelf, keys.public)))
        write_slots(shelf, slots)
    return slots


def sign_slots(shelf: Path, keys: Keys) -> Slots:
    """Sign the slots of a shelf as they are, whoever has written them, and return them."""
    from features.shelf import changing, read_slots, write_slots

    with changing(shelf):
        slots = keys.signed(shelf, read_slots(shelf))
        write_slots(shelf, slots)
    return slots


def require_usable(shelf: Path, version: str, key: Path | None) -> None:
    """Raise `BundleError` unless a bundle of a shelf can take the place of the live one."""
    from features.bundle import Bundle
    from features.exceptions import BundleError
    from features.shelf import on_shelf

    folder = on_shelf(shelf, version)
    if not folder.is_dir():
        there = ", ".join(one.name for one in folders(shelf))
        raise BundleError(
            f"{shelf} has no bundle {version}: it has {there}; add one with `intent bundle add`"
        )
    _require_same_question(shelf, version, Bundle.of_shelf(shelf, version, key=key).manifest)


def folders(shelf: Path) -> list[Path]:
    """Return the folders of all bundles on a shelf, the newest first."""
    from features.bundle import MANIFEST, read_manifest

    found = [path.parent for path in shelf.glob(f"*/{MANIFEST}") if not path.parent.name.startswith(".")]
    made = {
        folder: manifest.created_at for folder in found if (manifest := read_manifest(folder)) is not None
    }
    return sorted(made, key=lambda folder: (made[folder], folder.name), reverse=True)


def described(shelf: Path, slots: Slots, key: Path | None) -> list[dict[str, Any]]:
    """Return what is to be said of each bundle."""
    from features.bundle import read_manifest

    found = []
    for folder in folders(shelf):
        manifest = read_manifest(folder)
        assert manifest is not None  # see `folders`
        found.append(
            {
                "slot": slots.used.get(folder.name, ""),
                "version": folder.name,
                "made": manifest.created_at,
                "data_up_to": manifest.data.last_event,
                "signature": _signature(folder, key),
            }
        )
    return found


def require_better(settings: Settings, slots: Slots, version: str) -> str:
    """Return in one sentence by how much a bundle is better than the live one.

    Raises
    ------
    BundleError
        The learner has not shown that it is.
    """
    from features.exceptions import BundleError
    from stream.learning.report import decode_report
    from stream.learning.snapshot_store import SnapshotStore

    with closing(SnapshotStore(settings.redis_url, settings.redis_prefix)) as store:
        raw = store.quality()
    report = None if raw is None else decode_report(raw)
    beside = [] if report is None or report.bundle != slots.live else report.beside
    judged = next((one for one in beside if one.version == version), None)
    if judged is None:
        raise BundleError(
            f"the learner has not judged {version} beside {slots.live}: {_unjudged(report, slots, version)}, or use "
            "--anyway"
        )
    said = comparison(judged)
    high = judged.than["network"].high
    if high is None or high >= 0:
        slot = slots.used.get(version)
        goes_on = f"wait, it is a {slot} and is judged on" if slot else "give it a slot again (--to shadow)"
        raise BundleError(
            f"{version} is not shown to be better than {slots.live}: {said}; {goes_on}, or use --anyway"
        )
    return f"{version} is better than {slots.live}: {said}"


def _unjudged(report: Report | None, slots: Slots, version: str) -> str:
    """Return why nothing is known of a bundle, and what to do."""
    from stream.learning.judging.rivals import LEAST_BUYERS, LEAST_EXAMPLES

    slot = slots.used.get(version)
    if slot is None:
        return "run it as a shadow first (--to shadow), compare both with `intent evaluate`"
    needed = f"{LEAST_EXAMPLES:,} judged scores with {LEAST_BUYERS} purchases are needed, and there are 0"
    if report is None:
        return f"it is a {slot}, but no learner has published figures; {needed}: start `intent learner`"
    if report.bundle != slots.live:
        return (
            f"it is a {slot}, but the learner's figures are still of {report.bundle}; {needed}: wait until it "
            f"follows {slots.live}"
        )
    horizon = duration_short(report.horizon_seconds * 1000)
    return f"it is a {slot}; {needed}: a score is judged when its horizon ({horizon}) has passed, so wait"


def comparison(judged: Judged) -> str:
    """Return in words how a bundle beside compares with the live network.

    Examples
    --------
    >>> from stream.learning.judging.rivals import Difference, Judged
    >>> than = {"network": Difference(-0.012, -0.02, -0.004)}
    >>> comparison(Judged(version="a", since=0, as_of=0, examples=12_000, figures={}, than=than))
    'log-loss -0.0120 (95% interval: -0.0200 to -0.0040) against the live network, on 12,000 scores'
    >>> than = {"network": Difference(-0.012, None, None)}
    >>> comparison(Judged(version="a", since=0, as_of=0, examples=300, figures={}, than=than, buyers=4))
    'log-loss -0.0120 (300 of 1,000 scores and 4 of 20 purchases that an interval needs) against the live network'
    """
    from stream.learning.judging.rivals import LEAST_BUYERS, LEAST_EXAMPLES

    found, buyers = judged.than["network"], judged.buyers
    against = f"log-loss {found.value:+.4f} ({{}}) against the live network"
    if buyers is not None and (judged.examples < LEAST_EXAMPLES or buyers < LEAST_BUYERS):
        return against.format(
            f"{judged.examples:,} of {LEAST_EXAMPLES:,} scores and {buyers:,} of {LEAST_BUYERS} purchases that an "
            "interval needs"
        )
    interval = "too few scores, buyers or customers for an interval"
    if found.low is not None and found.high is not None:
        interval = f"95% interval: {found.low:+.4f} to {found.high:+.4f}"
    return f"{against.format(interval)}, on {judged.examples:,} scores"


def now_text() -> str:
    """Return the present time, RFC 3339."""
    import datetime as dt

    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _require_same_question(shelf: Path, version: str, manifest: Any) -> None:
    from features.bundle import question_differs, read_manifest
    from features.exceptions import BundleError
    from features.shelf import read_slots

    live = read_manifest(shelf)
    if live is None:
        raise BundleError(f"{shelf} has lost its live bundle {read_slots(shelf).live}: copy it there again")
    differs = question_differs(live, manifest)
    if differs:
        raise BundleError(
            f"{read_slots(shelf).live} and {version} do not foresee the same: {differs}; use another shelf"
        )


def slots_signature(shelf: Path, slots: Slots, key: Path | None) -> str:
    """Return in words what the signature of slots is worth."""
    from features.exceptions import BundleError

    if key is None:
        return "none" if slots.signature is None else "there, not checked"
    try:
        slots.verify(shelf, key)
    except BundleError as error:
        return f"refused: {error}"
    return "good"


def _signature(folder: Path, key: Path | None) -> str:
    from features.exceptions import BundleError
    from features.signing import SIGNATURE, verify

    if key is None:
        return "there, not checked" if (folder / SIGNATURE).is_file() else "none"
    try:
        verify(folder, key)
    except BundleError as error:
        return f"refused: {error}"
    return "good"


def _partial(_: str, names: list[str]) -> set[str]:
    """Return what is left out of a copy: what killed writers left in a bundle's folder."""
    from features.whole_files import is_partial

    return set(filter(is_partial, names))


def _contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a bundle; its signature may have come later."""
    from features.signing import SIGNATURE, bundle_files

    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in bundle_files(folder)
        if path.name != SIGNATURE
    }
