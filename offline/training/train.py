"""`intent train`: from an event log, or a folder of examples, to a bundle."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.bundle import MANIFEST, Bundle, Calibration, DataFingerprint, Manifest, save
from features.calendar import timezone_database
from features.labels import LabelStart
from features.log import ERASED, log_metadata, log_rows, read_log
from features.log_order import refused_sentences
from features.logins import NO_LOGINS, Families, Logins, split_logins
from features.reference import Reference
from features.segments import Segmenter
from features.state import DAY_MS, MINUTE_MS
from features.traffic import DEFAULT_BOTS, BotRule, apart_sentences
from features.usual_days import UsualDays
from features.vector import Vectors, schema_hash
from offline.examples.buckets import BuildSettings, build_folder, is_folder, read_folder, read_manifest
from offline.examples.buckets.sizes import local_workers, machine_bytes, shown, trainable_rows
from offline.examples.examples import Asked, Context, Examples, build_examples
from offline.exceptions import TrainingError
from offline.progress import Progress, silent
from offline.simulator.oracle import exact_probability
from offline.training.calibration import HIGH_SHARE, MEDIUM_SHARE, band_thresholds
from offline.training.explaining import choose_reference, evenly, export_reasons
from offline.training.models import EvaluatedModel, Models, fit_models, judge_models
from offline.training.network import NetworkSettings, export, restart_layer_names
from offline.training.refitting import MEMBERS, Refitted, refit, settings_for, worth_refitting
from offline.training.segmentation import fit_segmenter
from offline.training.splitting import Split, require_enough, split_by_time

_PARITY_ROWS = 2_000
_MEMORY_SHARE = 0.5  # of this machine's memory that training takes at most by default


class TrainingSettings(NamedTuple):
    """What `train` may be told.

    Attributes
    ----------
    horizon_ms
        How far the prediction looks; by default half an hour, or what a folder of examples was built for.
    label_start
        From when on a purchase counts; by default what fits the horizon (`features.labels`).
    timezone, currency
        The shop's; by default the log's (its metadata, else its most frequent currency), else UTC and EUR.
    lateness_ms, ttl_ms
        How late an event may be, and how long a silent state lives; as in the stream's settings. A folder of
        examples was built with its own.
    network
        By default what fits the number of examples; ``epochs`` replaces the epochs of that default.
    baselines
        Whether the rule, logistic regression and LightGBM are trained beside the network.
    memory
        What training may take, bytes; by default half of this machine's. With more events than fit, it takes all
        events of some customers.
    bots, excluded
        By which rules a machine is known, and ids of the shop's own people; of neither is anything learned. A folder
        of examples was built with its own.
    """

    horizon_ms: int | None = None
    label_start: LabelStart | None = None
    timezone: str | None = None
    currency: str | None = None
    lateness_ms: int = 15 * MINUTE_MS
    ttl_ms: int = 400 * DAY_MS
    network: NetworkSettings | None = None
    epochs: float | None = None
    baselines: bool = True
    seed: int = 0
    memory: int | None = None
    bots: tuple[BotRule, ...] = DEFAULT_BOTS
    excluded: frozenset[str] = frozenset()

    @property
    def asked(self) -> Asked:
        """What is asked of how events are read."""
        return Asked(
            horizon_ms=self.horizon_ms,
            label_start=self.label_start,
            timezone=self.timezone,
            currency=self.currency,
            lateness_ms=self.lateness_ms,
            ttl_ms=self.ttl_ms,
            bots=self.bots,
        )


class Material(NamedTuple):
    """What a bundle is made from.

    Attributes
    ----------
    examples, context
        The examples, and how events were read for them.
    data
        Which log they are from.
    exact
        Returns the exact probability of some of them, None if there is none.
    sampled
        What part of the customers they are, in words; None for all.
    """

    examples: Examples
    context: Context
    data: DataFingerprint
    exact: Callable[[NDArray[np.int64]], NDArray[np.float64] | None]
    sampled: str | None = None


def train(
    path: str | Path,
    directory: str | Path,
    settings: TrainingSettings = TrainingSettings(),  # noqa: B008  (immutable)
    *,
    progress: Progress = silent,
    on_note: Callable[[str], None] = lambda text: None,
    now: dt.datetime | None = None,
) -> Bundle:
    """Train on an event log, or on a folder of examples built from one, write the bundle to a folder and return it.

    Equal logs and settings give equal bundles, but for ``created_at``; so does a folder of a log's examples.

    Parameters
    ----------
    path
        The log (`features.log`), or a folder of examples (`offline.examples.buckets`). A log too big for memory is
        made into such a folder, next to the bundle and removed in the end.
    directory
        Where the bundle goes.
    on_note
        Called with a sentence that people should know: that a part of the customers is used, or that the folder holds
        a bundle, which will be replaced.
    now
        Stands in the manifest as ``created_at``; by default the time of the clock.

    Raises
    ------
    TrainingError
        The log is too short for the horizon, has too few purchases, or TensorFlow is not installed.
    """
    restart_layer_names()
    material = gather(path, Path(directory), settings, progress, on_note)
    examples, context, data = material.examples, material.context, material.data
    if material.sampled is not None:
        on_note(f"Training on {material.sampled}.")
    split = split_by_time(examples, context.horizon_ms)
    slices = split.slices(examples)
    with progress("Finding segments"):
        segmenter = fit_segmenter(latest_vectors(examples, split), seed=settings.seed)
        segmenter.assign(examples.vectors)
    if (Path(directory) / MANIFEST).exists():  # said now, when the log is known to be enough
        on_note(f"{directory} holds a bundle already: it will be replaced.")
    wanted = settings.network or settings_for(examples, slices.train, settings.seed)
    models = fit_models(
        examples, slices.train, context.horizon_ms, wanted, epochs=settings.epochs,
        baselines=settings.baselines, seed=settings.seed, progress=progress,
    )  # fmt: skip
    judged = judge_models(
        models, (examples, slices.calibration), (examples, slices.test),
        seen=examples.customers[slices.train],
        exact=material.exact(slices.test),
        seed=settings.seed, progress=progress,
    )  # fmt: skip
    final, calibration, reference = models.network, judged["network"].calibration, judged["network"].reference
    trained, refitted = slices.train, None
    if worth_refitting(examples):
        with progress("Training the network on all examples") as on_progress:
            refitted = refit(
                examples, context.horizon_ms, models.settings, seed=settings.seed, on_progress=on_progress
            )
    if refitted is not None:
        final, calibration, trained, reference = refitted
    with progress("Exporting"):
        network = export(final, examples.vectors[slices.test[:_PARITY_ROWS]])
        customer = choose_reference(final, calibration, examples.vectors[evenly(trained)])
        reasons = export_reasons(final, calibration, customer)
    manifest = Manifest(
        version=version_of(data, network, segmenter, calibration),
        features_version=schema_hash(),
        horizon_seconds=context.horizon_ms / 1000,
        label_start=context.label_start,
        timezone=context.timezone,
        currency=context.currency,
        example_types=list(examples.types),
        band_thresholds=band_thresholds(reference),
        data=data,
        split=describe(split, models, calibration, judged, refitted, sampled=material.sampled),
        metrics={name: model.metrics for name, model in judged.items()},
        timezone_database=timezone_database(context.timezone),
        reference_customer=customer,
        bots=list(context.bots),
        created_at=(now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(timespec="seconds"),
    )
    columns = Reference.of(examples.vectors[trained])
    parts = (manifest, segmenter, calibration, network, columns, reasons)
    save(directory, *parts)
    return Bundle(*parts)


def gather(
    path: str | Path,
    directory: Path,
    settings: TrainingSettings,
    progress: Progress = silent,
    on_note: Callable[[str], object] = lambda text: None,
) -> Material:
    """Return what to train on, as much of it as fits the memory."""
    memory = settings.memory or int(machine_bytes() * _MEMORY_SHARE)
    if is_folder(path):
        return _from_folder(Path(path), settings, memory, progress)
    if log_rows(path) <= trainable_rows(memory):
        return _from_log(path, settings, progress, on_note)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        folder = Path(scratch) / "examples"
        count, own = local_workers(memory)
        build_folder(
            path,
            folder,
            BuildSettings(settings.asked, workers=count, memory=own, excluded=settings.excluded),
            progress=progress,
            on_note=on_note,
        )
        return _from_folder(folder, settings, memory, progress)


def _from_log(
    path: str | Path, settings: TrainingSettings, progress: Progress, on_note: Callable[[str], object]
) -> Material:
    with progress("Reading the log"):
        log, logins = split_logins(read_log(path, on_note, identities=True))
        own = log if logins is NO_LOGINS else log.filter(pc.is_null(log["identity"]))
        data = fingerprint(path, own, logins)
    context = context_of(own, log_metadata(path), settings)
    purchases = pc.sum(pc.equal(own["type"], "purchase")).as_py() or 0
    require_enough(own["event_time"].cast(pa.int64()).to_numpy(), purchases, context.horizon_ms)
    with progress("Folding events") as on_progress:
        examples = build_examples(
            log, context, logins=logins, excluded=settings.excluded, on_progress=on_progress
        )
    usual = UsualDays.of(own["event_time"].cast(pa.int64()).to_numpy())
    for sentence in [
        *usual.sentences(),
        *refused_sentences(examples.refused - usual.lonely, len(own)),
        *apart_sentences(int(np.count_nonzero(examples.apart)), len(own)),
    ]:
        on_note(sentence)
    return Material(examples, context, data, lambda at: exact_of(log, context, examples.rows[at]))


def _from_folder(folder: Path, settings: TrainingSettings, memory: int, progress: Progress) -> Material:
    require_asked(folder, settings)
    most = trainable_rows(memory)
    with progress("Reading examples") as on_progress:
        examples, exact, manifest, share = read_folder(folder, most_rows=most, on_progress=on_progress)
    sampled = None
    if share < 1:
        sampled = (
            f"{share:.2%} of the customers, chosen by the hash of their id: {len(examples):,} of {manifest.rows:,} "
            f"events, which is what {shown(memory)} of memory can hold"
        )
    return Material(
        examples, manifest.context, manifest.data, lambda at: None if exact is None else exact[at], sampled
    )


def require_asked(folder: Path, settings: TrainingSettings) -> None:
    """Refuse a folder of examples that was built for another prediction than is asked for.

    Raises
    ------
    TrainingError
        Names what differs.
    """
    context = read_manifest(folder).context
    for name, option in (
        ("horizon_ms", "--horizon"),
        ("label_start", "--label-start"),
        ("timezone", "INTENT_TIMEZONE"),
        ("currency", "INTENT_CURRENCY"),
    ):
        asked, built = getattr(settings, name), getattr(context, name)
        if asked is not None and asked != built:
            raise TrainingError(
                f"the examples in {folder} were built with {name} {built}, {option} asks for {asked}: "
                "build others with `intent examples`, or leave it out"
            )


def context_of(log: pa.Table, metadata: Mapping[str, str], settings: TrainingSettings) -> Context:
    """Return how events are read: by the settings, else by the log."""
    counts = pc.value_counts(log["currency"].combine_chunks().drop_null()).to_pylist()
    return settings.asked.context(metadata, {found["values"]: found["counts"] for found in counts})


def latest_vectors(examples: Examples, split: Split) -> Vectors:
    """Return each customer's vector at the end of the training period, in order of their numbers."""
    rows = np.flatnonzero((examples.as_of < split.calibration - split.horizon_ms) & ~examples.apart)
    latest = np.full(int(examples.customers.max(initial=0)) + 1, -1)
    latest[examples.customers[rows]] = rows  # of several, the last one stays
    return np.ascontiguousarray(examples.vectors[latest[latest >= 0]])


def exact_of(log: pa.Table, context: Context, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the exact probability of the given rows of a simulated log, None if there is none."""
    if b"intent.simulator" not in (log.schema.metadata or {}) or context.label_start != "0":
        return None
    if pc.any(pc.equal(log["type"], ERASED)).as_py():  # the filter needs what erased customers did
        return None
    return exact_probability(log, context.horizon_ms)[rows]


def fingerprint(path: str | Path, log: pa.Table, logins: Logins = NO_LOGINS) -> DataFingerprint:
    """Return which log this is: its source, the hash of the file, its size and its time; a person is one customer."""
    names = pc.unique(log["customer_id"].drop_null()).to_pylist()
    roots = Families.of_pairs(zip(logins.anonymous, logins.customer, strict=True)).roots()
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    time = pc.min_max(log["event_time"]).as_py()
    return DataFingerprint(
        source=log_metadata(path).get("source", Path(path).name),
        sha256=digest,
        events=pc.sum(pc.not_equal(log["type"], ERASED)).as_py() or 0,
        customers=len({roots.get(name, name) for name in names}),
        first_event="" if time["min"] is None else time["min"].isoformat(),
        last_event="" if time["max"] is None else time["max"].isoformat(),
    )


def version_of(data: DataFingerprint, network: bytes, segmenter: Segmenter, calibration: Calibration) -> str:
    """Return the name of a bundle: a hash of the data and one of all that makes its scores."""
    parts = hashlib.sha256(network + msgspec.json.encode((segmenter, calibration)))
    return f"{data.sha256[:8]}-{parts.hexdigest()[:8]}"


def describe(
    split: Split,
    models: Models,
    calibration: Calibration,
    judged: Mapping[str, EvaluatedModel],
    refitted: Refitted | None = None,
    *,
    sampled: str | None = None,
) -> dict[str, object]:
    """Return how the data was divided and what each part was used for, for the manifest."""
    part, again = "the calibration slice", {}
    if refitted is not None:
        part = "the latest examples, by networks that have not seen their customers"
        again = {
            "trained_again": f"after the measurement, on all {len(refitted.rows)} examples with known labels: "
            f"the mean of {MEMBERS} networks, each without a part of the customers"
        }
    return (
        split.describe()
        | ({} if sampled is None else {"sampled": sampled})
        | {
            "network": {k: v for k, v in models.settings._asdict().items()},
            **again,
            "calibrated_on": f"{part}, {calibration.examples} examples",
            "bands_from": (
                f"{part}: high is its top {HIGH_SHARE:.0%}, medium the next {MEDIUM_SHARE - HIGH_SHARE:.0%}"
            ),
            "measured_on": f"the test slice, {len(judged['network'].tested)} examples; "
            "unseen: its customers that are not in training",
            "intervals": "95%, bootstrap over customers",
        }
    )
