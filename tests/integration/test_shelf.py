"""Bundles on a shelf, over a real Kafka and a real Redis: switched while events flow, without a restart."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from features.shelf import SLOTS
from features.signing import sign
from stream.logs.replay import replay
from stream.messages.score import decode_score
from stream.testing.servers import Services
from tests.bundles import save_bundle
from tests.features.test_signing import keys
from tests.integration.outcome import read_topic, scores_by_event
from tests.integration.shop_logs import simulated
from tests.integration.test_learning import Shop
from tests.integration.workers import PATIENCE, ROOT, environment, intent, until

OLD, NEW = "random-6", "random-7"
MODEL = 'intent_model{{version="{}"}}'


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return simulated(1_000, 2, seed=11)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Return a shelf with two bundles, the old one live."""
    shelf = tmp_path / "shelf"
    for seed in (6, 7):
        made = save_bundle(tmp_path / f"made-{seed}", seed=seed)
        subprocess.run(intent("bundle", "add", str(shelf), str(made)), cwd=ROOT, check=True)
    return shelf


@pytest.fixture
def shop(services: Services, shelf: Path, tmp_path: Path) -> Iterator[Shop]:
    with Shop(services, shelf, tmp_path / "logs") as shop:
        yield shop


def bundle(shop: Shop, *arguments: str) -> str:
    """Run ``intent bundle`` on the shop's shelf; return what it says."""
    name, *others = arguments
    done = subprocess.run(
        intent("bundle", name, str(shop.settings.bundle), *others),
        env=environment(shop.settings), cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else done.stderr


def versions(shop: Shop) -> dict[str, set[str]]:
    """Return the bundles that scored each event."""
    found = scores_by_event(read_topic(shop.settings, shop.settings.scores_topic))
    return {event: {score["model_version"] for score in scores} for event, scores in found.items()}


def send(shop: Shop, log: pa.Table, switched: threading.Event) -> None:
    """Send a log in pieces, the last third not before the bundles are switched, then end it."""
    size = len(log) // 90 + 1
    for at in range(0, len(log), size):
        if at > len(log) * 2 / 3:
            assert switched.wait(PATIENCE)
        replay(shop.settings, log.slice(at, size))
        time.sleep(0.3)
    replay(shop.settings, log.slice(0, 0), close=True)


def test_bundles_are_switched_under_load_without_a_restart(shop: Shop, log: pa.Table) -> None:
    """Two workers score with the new bundle within 10 seconds; no event is lost, none is scored twice."""
    workers = [shop.fleet.ready(), shop.fleet.ready()]
    learner = shop.fleet.ready(command="learner")
    switched = threading.Event()
    sending = threading.Thread(target=send, args=(shop, log, switched))
    sending.start()
    until(lambda: shop.fleet.saved() > len(log) / 5, "some events are scored by the old bundle")
    assert f"{NEW} is live" in bundle(shop, "promote", NEW, "--anyway")
    began = time.monotonic()
    until(
        lambda: all(worker.metrics().get(MODEL.format(NEW)) == 1 for worker in workers),
        "both workers have the new bundle", seconds=10.0,
    )  # fmt: skip
    switched.set()
    print(f"switched {time.monotonic() - began:.1f} s after the command")
    assert all(MODEL.format(OLD) not in worker.metrics() for worker in workers)
    sending.join()
    shop.fleet.finish(*workers)
    told = versions(shop)
    assert len(told) == len(log)
    counted = Counter(version for scored in told.values() for version in scored)
    assert set(counted) == {OLD, NEW}
    assert sum(counted.values()) == len(log), "no event is scored twice"
    assert all(count > len(log) / 5 for count in counted.values())
    until(shop.finished, "all is learned")
    until(lambda: any("come next" in line for line in learner.lines()), "the learner has gone over")
    assert learner.check()


def test_no_label_is_lost_when_the_learner_goes_over_to_the_new_bundle(shop: Shop, log: pa.Table) -> None:
    worker, learner = shop.fleet.ready(), shop.fleet.ready(command="learner")
    third = len(log) // 3
    replay(shop.settings, log.slice(0, third))
    shop.fleet.finish(worker)
    assert f"{NEW} is live" in bundle(shop, "promote", NEW, "--anyway")
    until(lambda: worker.metrics().get(MODEL.format(NEW)) == 1, "the worker has the new bundle", seconds=10.0)
    replay(shop.settings, log.slice(third, third), close=True)
    shop.fleet.finish(worker)
    examples = Counter(
        decode_score(record.value).model_version
        for record in read_topic(shop.settings, shop.settings.scores_topic)
        if record.value is not None
    )
    assert min(examples.values()) > 100
    views = log["type"].to_pylist()
    for version, kinds in ((OLD, views[:third]), (NEW, views[third : 2 * third])):
        wanted = sum(kind == "view_item" for kind in kinds)
        until(lambda v=version, n=wanted: learned(shop, v) == n or later(shop, v), f"{wanted} of {version}")
    said = [line for line in learner.lines() if "are learned, those of" in line]
    assert len(said) == 1
    assert learner.metrics()["intent_learned_examples_total"] == sum(
        kind == "view_item" for kind in views[third : 2 * third]
    )
    until(lambda: worker.metrics().get("intent_online_version", 0) > 0, "the worker has what was learned")
    assert "random-6 is live" in bundle(shop, "rollback")
    until(lambda: worker.metrics().get(MODEL.format(OLD)) == 1, "the worker is back", seconds=10.0)
    until(lambda: worker.metrics().get("intent_online_version", 0) > 0, "with what was learned before")
    replay(shop.settings, log.slice(2 * third), close=True)
    shop.fleet.finish(worker)
    until(
        lambda: any(f"for bundle {OLD} before {NEW}" in line for line in learner.lines()), "the learner, too"
    )


def make_better(folder: Path) -> Path:
    """Write a bundle that knows how few customers buy; the random ones take it for every second."""
    save_bundle(folder, seed=8, reasons=False)
    (folder / "calibration.json").write_text('{"slope": 0.5, "intercept": -2.5, "examples": 0}')
    return folder


def test_a_shadow_is_judged_on_the_same_labels_and_promoted_only_if_it_is_better(
    shop: Shop, shelf: Path, log: pa.Table, tmp_path: Path
) -> None:
    """Two bundles in turn score beside the live one: one is better, one is the live one itself under another name."""
    same = save_bundle(tmp_path / "same")
    manifest = same / "manifest.json"
    manifest.write_text(manifest.read_text().replace(OLD, "same-6"))
    better = make_better(tmp_path / "better")
    assert "random-8 is shadow" in bundle(shop, "add", str(better), "--to", "shadow")
    assert "bundle same-6 is there" in bundle(shop, "add", str(same))
    assert "has not judged random-8 beside random-6" in bundle(shop, "promote", "random-8")
    worker, learner = shop.fleet.ready(), shop.fleet.ready(command="learner")
    half = len(log) // 2
    replay(shop.settings, log.slice(0, half))
    shop.fleet.finish(worker)
    assert "same-6 is shadow" in bundle(shop, "promote", "same-6", "--to", "shadow")
    until(
        lambda: any("same-6 beside it" in line for line in worker.lines()), "the worker has the other shadow"
    )
    replay(shop.settings, log.slice(half), close=True)
    shop.finish(worker, learner)
    beside = {one["version"]: one for one in msgspec.json.decode(shop.snapshots.quality() or b"")["beside"]}
    views = [kind == "view_item" for kind in log["type"].to_pylist()]
    assert beside["random-8"]["examples"] == sum(views[:half])
    assert beside["same-6"]["examples"] == sum(views[half:])
    assert beside["same-6"]["than"]["network"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert beside["random-8"]["than"]["network"]["high"] < 0
    metrics = learner.metrics()
    assert metrics['intent_beside_examples{bundle="random-8"}'] == sum(views[:half])
    assert metrics['intent_beside_log_loss_difference{bundle="random-8",end="high",than="network"}'] < 0
    scores = scores_by_event(read_topic(shop.settings, shop.settings.scores_topic))
    assert {score["model_version"] for every in scores.values() for score in every} == {OLD}

    refused = bundle(shop, "promote", "same-6")
    assert "same-6 is not shown to be better than random-6: log-loss +0.0000" in refused
    shown = subprocess.run(
        intent("quality"),
        env=environment(shop.settings),
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    assert "Beside it, random-8: log-loss -" in shown.stdout
    promoted = bundle(shop, "promote", "random-8")
    assert "random-8 is better than random-6: log-loss -" in promoted
    assert "random-8 is live, same-6 is shadow" in promoted
    until(lambda: worker.metrics().get(MODEL.format("random-8")) == 1, "it is live", seconds=10.0)


def test_a_share_of_the_customers_gets_the_scores_of_the_canary_and_both_are_judged(
    shop: Shop, log: pa.Table
) -> None:
    assert f"{NEW} is canary for 30% of the customers" in bundle(
        shop, "promote", NEW, "--to", "canary", "--share", "0.3"
    )
    worker, learner = shop.fleet.ready(), shop.fleet.ready(command="learner")
    replay(shop.settings, log, close=True)
    shop.finish(worker, learner)
    scores = scores_by_event(read_topic(shop.settings, shop.settings.scores_topic))
    by_customer: dict[str, set[str]] = {}
    for [score] in scores.values():
        by_customer.setdefault(score["customer_id"], set()).add(score["model_version"])
        assert (score["online_score"] is None) or score["model_version"] == OLD
    assert all(len(found) == 1 for found in by_customer.values())
    taken = sum(found == {NEW} for found in by_customer.values()) / len(by_customer)
    assert taken == pytest.approx(0.3, abs=0.06)
    [judged] = msgspec.json.decode(shop.snapshots.quality() or b"")["beside"]
    assert judged["version"] == NEW
    assert judged["examples"] == sum(kind == "view_item" for kind in log["type"].to_pylist())
    assert f"{OLD} is live" in bundle(shop, "promote", NEW, "--to", "none")
    until(
        lambda: any(line.endswith(f"bundle {OLD} is in force") for line in worker.lines()), "it is withdrawn"
    )


def test_with_a_key_only_what_is_signed_comes_into_force(shop: Shop, shelf: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    settings = shop.settings.model_copy(update={"bundle_key": public})
    refused = shop.fleet.start(settings=settings)
    assert refused.wait() == 1
    assert f"{shelf / SLOTS} is not signed" in refused.tail()
    assert f"{OLD} is live" in bundle(shop, "sign", "--key", str(private))
    refused = shop.fleet.start(settings=settings)
    assert refused.wait() == 1
    assert f"the bundle in {shelf / OLD} is not signed" in refused.tail()
    sign(shelf / OLD, private)
    old = (shelf / SLOTS).read_bytes()
    worker = shop.fleet.ready(settings=settings)
    promoted = bundle(shop, "promote", NEW, "--anyway", "--key", str(private))
    assert f"{NEW} is live" in promoted
    until(lambda: worker.metrics()["intent_bundle_refused"] == 1, "the worker refuses the other")
    assert worker.metrics()[MODEL.format(OLD)] == 1
    sign(shelf / NEW, private)
    until(lambda: worker.metrics().get(MODEL.format(NEW)) == 1, "it is signed, and used")
    new = (shelf / SLOTS).read_bytes()
    (shelf / SLOTS).write_bytes(old)
    until(lambda: worker.metrics()["intent_bundle_refused"] == 1, "the worker refuses the slots of before")
    until(lambda: any("an old one that was put back" in line for line in worker.lines()), "it says so")
    assert worker.metrics()[MODEL.format(NEW)] == 1
    (shelf / SLOTS).write_bytes(new)
    until(lambda: worker.metrics()["intent_bundle_refused"] == 0, "all is as it was")


def learned(shop: Shop, version: str) -> float:
    raw = shop.snapshots.quality()
    report = msgspec.json.decode(raw) if raw else {"bundle": ""}
    return report["total"]["blend"]["examples"] if report["bundle"] == version and report["total"] else 0.0


def later(shop: Shop, version: str) -> bool:
    """Whether the figures are those of the new bundle already."""
    return version == OLD and learned(shop, NEW) > 0


def test_a_bundle_that_does_not_fit_leaves_the_old_one_in_force(shop: Shop, tmp_path: Path) -> None:
    worker = shop.fleet.ready()
    damaged = Path(shop.settings.bundle) / NEW / "network.onnx"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    slots = Path(shop.settings.bundle) / "slots.json"
    slots.write_text(slots.read_text().replace(OLD, NEW))
    until(lambda: worker.metrics()["intent_bundle_refused"] == 1, "the worker refuses it")
    assert worker.metrics()[MODEL.format(OLD)] == worker.metrics()["intent_ready"] == 1
    assert sum(f"bundle {OLD} stays in force" in line for line in worker.lines()) == 1
    damaged.write_bytes(whole)
    until(lambda: worker.metrics().get(MODEL.format(NEW)) == 1, "it is tried again, and used")
    assert worker.metrics()["intent_bundle_refused"] == 0
