"""Every alert is raised by its fault and by no other, names metrics that there are, and has its section in the runbook.

Prometheus' own evaluation is asked, by ``promtool`` (Debian: ``apt-get install prometheus``).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.document_blocks import ROOT
from tests.test_documents import registered_metrics

RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
BOARDS: Final = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
ALERTS: Final = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}

#: Minutes of a test, and the one from which something is wrong.
LENGTH, FAULT = 150, 30

_PLACES: Final = {"intent-worker": "w", "intent-learner": "l", "intent-serve": "s"}
_WINDOW: Final = 'by="window", group="last"'
_LOOK_UP: Final = 'route="/v1/customers/{customer_id:customer}"'

#: Series of a shop in which all is well: job, series, the value a minute (``+`` counts up).
WELL: Final = {
    ("intent-worker", "up"): "1",
    ("intent-worker", "intent_ready"): "1",
    ("intent-worker", "intent_parked_partitions"): "0",
    ("intent-worker", 'intent_lag_events{partition="0"}'): "100",
    ("intent-worker", 'intent_stable_lag_events{partition="0"}'): "100",
    ("intent-worker", "intent_events_total"): "+6000",
    ("intent-worker", 'intent_dead_letters_total{reason="late"}'): "+6",
    ("intent-worker", 'intent_latency_seconds_bucket{le="0.1"}'): "+6000",
    ("intent-worker", 'intent_latency_seconds_bucket{le="10"}'): "+6000",
    ("intent-worker", 'intent_latency_seconds_bucket{le="+Inf"}'): "+6000",
    ("intent-worker", 'intent_watermark_seconds{partition="0"}'): "+60",
    ("intent-worker", "intent_rebalances_total"): "2",
    ("intent-worker", "intent_bundle_refused"): "0",
    ("intent-worker", "intent_policy_refused"): "0",
    ("intent-worker", "intent_excluded_refused"): "0",
    ("intent-worker", "intent_offers_refused"): "0",
    ("intent-learner", "up"): "1",
    ("intent-learner", "intent_learner_leading"): "1",
    ("intent-learner", "intent_learner_ready"): "1",
    ("intent-learner", 'intent_learner_lag_records{topic="e", partition="0"}'): "9",
    ("intent-learner", 'intent_learner_bad_records_total{topic="e"}'): "3",
    ("intent-learner", f'intent_quality_ece{{model="blend", {_WINDOW}}}'): "0.01",
    ("intent-learner", f'intent_quality_auc{{model="blend", {_WINDOW}}}'): "0.81",
    ("intent-learner", f'intent_quality_auc{{model="network", {_WINDOW}}}'): "0.82",
    ("intent-serve", "up"): "1",
    ("intent-serve", 'intent_serve_requests_total{status="200"}'): "+600",
    ("intent-serve", 'intent_serve_requests_total{status="503"}'): "+1",
    ("intent-serve", f'intent_serve_seconds_bucket{{{_LOOK_UP}, le="0.01"}}'): "+600",
    ("intent-serve", f'intent_serve_seconds_bucket{{{_LOOK_UP}, le="1"}}'): "+600",
    ("intent-serve", f'intent_serve_seconds_bucket{{{_LOOK_UP}, le="+Inf"}}'): "+600",
}

#: Of each alert: which series change, to what; and which other alerts that raises, too.
FAULTS: Final[dict[str, tuple[dict[str, str], set[str]]]] = {
    "IntentNoWorker": ({"intent-worker up": "0"}, {"IntentWorkerDown"}),
    "IntentWorkerDown": ({"intent-worker up": "0"}, {"IntentNoWorker"}),
    "IntentWorkerNotReady": ({"intent_ready": "0"}, set()),
    "IntentPartitionParked": ({"intent_parked_partitions": "1"}, set()),
    "IntentBehind": ({"intent_lag_events": "7000", "intent_stable_lag_events": "7000"}, set()),
    "IntentNothingScored": ({"intent_events_total": "+0"}, {"IntentBehind", "IntentDeadLetters"}),
    "IntentOpenTransaction": ({"intent_lag_events": "101"}, set()),
    "IntentSlow": ({'intent_latency_seconds_bucket{le="0.1"}': "+5000"}, set()),
    "IntentDeadLetters": ({"intent_dead_letters_total": "+61"}, set()),
    "IntentClockAhead": ({"intent_watermark_seconds": "+75"}, set()),
    "IntentRebalancing": ({"intent_rebalances_total": "+1"}, set()),
    "IntentFileRefused": ({"intent_policy_refused": "1"}, set()),
    "IntentNobodyLearns": ({"intent_learner_leading": "0"}, set()),
    "IntentLearnerNotReady": ({"intent_learner_ready": "0"}, set()),
    "IntentLearnerBehind": ({"intent_learner_lag_records": "100001"}, set()),
    "IntentLearnerBadRecords": ({"intent_learner_bad_records_total": "+1"}, set()),
    "IntentScoresMiscalibrated": ({"intent_quality_ece": "0.06"}, set()),
    "IntentScoresWorse": ({'intent_quality_auc{model="blend"': "0.79"}, set()),
    "IntentServeDown": ({"intent-serve up": "0"}, set()),
    "IntentServeFails": ({'intent_serve_requests_total{status="503"}': "+7"}, set()),
    "IntentServeSlow": ({f'intent_serve_seconds_bucket{{{_LOOK_UP}, le="0.01"}}': "+580"}, set()),
}


def _line(job: str, series: str, first: str, then: str) -> dict[str, str]:
    name, _, labels = series.rstrip("}").partition("{")
    place = f'job="{job}", instance="{_PLACES[job]}"'
    series = f"{name}{{{place}{', ' if labels else ''}{labels}}}"
    if not first.startswith("+") and then.startswith("+"):
        return {"series": series, "values": f"{first}x{FAULT} {first}{then}x{LENGTH - FAULT}"}
    if first.startswith("+"):
        reached = float(first) * FAULT
        return {"series": series, "values": f"0{first}x{FAULT} {reached:g}{then}x{LENGTH - FAULT}"}
    return {"series": series, "values": f"{first}x{FAULT} {then}x{LENGTH - FAULT}"}


def _lines(changed: dict[str, str]) -> list[dict[str, str]]:
    lines, used = [], set[str]()
    for (job, series), first in WELL.items():
        hits = [one for one in changed if f"{job} {series}" == one or series.startswith(one)]
        used |= set(hits)
        lines.append(_line(job, series, first, changed[hits[0]] if hits else first))
    assert used == changed.keys()
    return lines


def _firing(minute: int, alerts: set[str]) -> dict[str, Any]:
    samples = [{"labels": f'{{alertname="{one}"}}', "value": 1} for one in sorted(alerts)]
    query = 'count by (alertname) (ALERTS{alertstate="firing"})'
    return {"expr": query, "eval_time": f"{minute}m", "exp_samples": samples}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_every_alert_is_raised_by_its_fault_and_no_other_is(tmp_path: Path) -> None:
    assert FAULTS.keys() == ALERTS.keys()
    cases = [{"interval": "1m", "input_series": _lines({}), "promql_expr_test": [_firing(LENGTH, set())]}]
    for alert, (changed, others) in FAULTS.items():
        asked = [_firing(FAULT, set()), _firing(LENGTH, {alert, *others})]
        lines = _lines(changed)
        cases.append({"name": alert, "interval": "1m", "input_series": lines, "promql_expr_test": asked})
    written = tmp_path / "rules_test.yml"
    plan = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": cases}
    written.write_text(yaml.safe_dump(plan))
    done = subprocess.run(
        ["promtool", "test", "rules", str(written)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_prometheus_takes_its_settings() -> None:
    command = ["promtool", "check", "config", "--syntax-only", str(RULES.with_name("prometheus.yml"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [RULES, *BOARDS], ids=lambda path: path.name)
def test_only_metrics_that_there_are_are_asked_for(path: Path) -> None:
    named = set(re.findall(r"\bintent_[a-z_]+[a-z]\b", path.read_text()))
    assert named
    assert {re.sub(r"(?<=seconds)_(count|sum|bucket)$", "", name) for name in named} <= registered_metrics()


def test_every_alert_has_a_section_in_the_runbook_and_a_summary() -> None:
    sections = re.findall(r"^### (Intent\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert sections == list(ALERTS)
    assert all(rule["annotations"]["summary"].endswith(".") for rule in ALERTS.values())
    assert all(rule["labels"]["severity"] in ("critical", "warning") for rule in ALERTS.values())
