"""A policy file that changes while a worker runs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stream.logs.replay import replay
from stream.messages.action import Action, decode_action
from tests.integration.outcome import read_topic
from tests.integration.settling import settled
from tests.integration.shop_logs import ms, simulated
from tests.integration.workers import Fleet, until

_DAY_MS = 86_400_000
_POLICY = """
version: {version}
rules:
  - {{name: {action}, action: {action}, trigger: band_entered, when: {{band: [medium, high]}}}}
bands: {{medium: {{enter: 0.0, leave: 0.0}}}}
"""


def test_a_changed_policy_decides_without_a_restart_and_a_bad_one_changes_nothing(
    fleet: Fleet, tmp_path: Path
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(_POLICY.format(version="first", action="call"))
    worker = fleet.ready(settings=fleet.settings.model_copy(update={"policy": path}))
    days = [_on_another_day(simulated(customers=60, days=1, seed=seed), seed) for seed in (1, 2, 3)]
    told: list[list[Action]] = []
    for log, change in zip(days, (None, "second", "bad"), strict=True):
        if change == "bad":
            path.write_text("rules: [{action: 1}]\n")
            until(lambda: "stays in force" in "".join(worker.lines()), "it is refused")
        elif change is not None:
            path.write_text(_POLICY.format(version=change, action="write"))
            until(lambda: "policy second-" in "".join(worker.lines()), "it is in force")
        replay(fleet.settings, log)
        settled(fleet, worker)
        told.append(_actions_since(fleet, told))
    assert [{one.action for one in part} for part in told] == [{"call"}, {"write"}, {"write"}]
    assert [{one.policy_version.split("-")[0] for one in part} for part in told] == [
        {"first"}, {"second"}, {"second"},
    ]  # fmt: skip
    assert all(
        len(part) == pc.count_distinct(log["customer_id"]).as_py()
        for part, log in zip(told, days, strict=True)
    )


def _on_another_day(log: pa.Table, number: int) -> pa.Table:
    """Return a log of other customers on a later day: each one enters a band once."""
    for name in ("customer_id", "event_id"):
        at = log.schema.get_field_index(name)
        log = log.set_column(at, name, pc.binary_join_element_wise(f"{number}", log[name], "-"))
    for name in ("event_time", "arrived_at"):
        at, field = log.schema.get_field_index(name), log.schema.field(name)
        log = log.set_column(at, field, pa.array(ms(log, name) + 2 * number * _DAY_MS).cast(field.type))
    return log


def _actions_since(fleet: Fleet, told: list[list[Action]]) -> list[Action]:
    records = read_topic(fleet.settings, fleet.settings.actions_topic)
    known = {one.action_id for part in told for one in part}
    found = [decode_action(record.value) for record in records if record.value is not None]
    return [one for one in found if one.action_id not in known]
