"""The stages "bundle" and "model card": train what the stream scores with, and say what it is."""

from __future__ import annotations

import pandas as pd

from features.bundle import MANIFEST, Bundle
from offline.chapters.bundle.bundle_card import SEGMENTS_CAPTION, card_of_bundle
from offline.chapters.bundle.card_measures import MODEL_TITLES, metrics_table
from offline.chapters.bundle.model_card import section_of, write_card
from offline.chapters.bundle.table_card import card_of_table
from offline.chapters.stages import StageError
from offline.chapters.workspace import Workspace
from offline.lab.models import MODELS
from offline.report.section import Section, Table
from offline.training.train import TrainingSettings, fingerprint, train

#: Folder of the bundle within that of the report.
BUNDLE = "bundle"

# With --quick, the network passes over the data just this often.
_QUICK_EPOCHS = 2.0


def train_bundle(workspace: Workspace) -> Section:
    """Train a bundle on the log, write it into the report's folder, and show how its models compare.

    Hands over the bundle.
    """
    context, options = workspace.context, workspace.options
    settings = TrainingSettings(
        horizon_ms=context.horizon_ms,
        label_start=context.label_start,
        timezone=context.timezone,
        currency=context.currency,
        lateness_ms=context.lateness_ms,
        ttl_ms=context.ttl_ms,
        bots=context.bots,
        excluded=options.excluded,
        epochs=_QUICK_EPOCHS if options.quick else None,
        seed=options.seed,
    )
    folder = workspace.directory / BUNDLE
    bundle = train(workspace.path, folder, settings, progress=workspace.progress)
    workspace.handover.bundle = bundle
    manifest = bundle.manifest
    network = manifest.metrics["network"]
    others = {
        name: found for name, found in manifest.metrics.items() if name not in ("network", "best_possible")
    }
    best = max(others, key=lambda name: others[name]["auc"] or 0.0)
    summary = [
        f"A bundle that the stream can score with is in {BUNDLE}/ (version {manifest.version}): AUC "
        f"{network['auc']:.3f}, PR-AUC {network['pr_auc']:.3f} at a prevalence of "
        f"{network['prevalence']:.1%}, on {network['examples']:,} later {workspace.problem.unit}s; the best of "
        f"the simpler models ({MODEL_TITLES.get(best, best)}) reaches AUC {others[best]['auc']:.3f}.",
        f"Try it: intent worker --bundle {folder}",
    ]
    segments = pd.DataFrame(
        [(s.name, s.share, s.description) for s in bundle.segmenter.segments],
        columns=["segment", "share of customers", "who they are"],
    )
    parts = [
        metrics_table(manifest.metrics),
        Table("Segments in the bundle", segments, SEGMENTS_CAPTION, {"share of customers": ".1%"}),
    ]
    figures = {
        "version": manifest.version,
        "folder": BUNDLE,
        "metrics": manifest.metrics,
        "split": manifest.split,
    }
    return Section("bundle", "Model bundle", summary, parts, figures, audience="data people")


def write_model_card(workspace: Workspace) -> Section:
    """Write the model card of the bundle, or of a table's models, and return it as a section.

    Reads the bundle or the models' measures that were handed over. A log's bundle may also be that of an earlier run.

    Raises
    ------
    StageError
        A log has no bundle yet, or one that was made from another log.
    """
    bundle = workspace.handover.bundle
    if bundle is None and workspace.input == "log":
        bundle = _earlier(workspace)
    if bundle is not None:
        card = card_of_bundle(bundle.manifest, bundle.segmenter, bundle.calibration)
    else:
        main = workspace.handover.main
        title = MODELS[main].title if main in MODELS else None
        card = card_of_table(workspace.problem, workspace.handover.metrics or {}, title)
    write_card(workspace.directory, card)
    return section_of(card)


def _earlier(workspace: Workspace) -> Bundle:
    """Return the bundle that an earlier run left in the report's folder, if it was made from this log."""
    folder = workspace.directory / BUNDLE
    if not (folder / MANIFEST).is_file():
        raise StageError("there is no bundle to describe: run the stage bundle as well")
    bundle = Bundle.load(folder)
    if bundle.manifest.data.sha256 != fingerprint(workspace.path, workspace.log).sha256:
        raise StageError(f"the bundle in {folder} was made from another log: run the stage bundle again")
    return bundle
