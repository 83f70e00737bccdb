"""Simulated customers answer actions, and the true effect is known exactly."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.log import validate
from offline.simulator.answers import AnswerParameters, answers, merged, true_effect
from offline.simulator.shop import ParameterError
from offline.simulator.simulation import METADATA_KEY
from offline.uplift.assignment import assigned
from offline.uplift.outcomes import outcomes, payments
from tests.uplift_cases import DAY_MS, case, shop

WINDOW = 3 * DAY_MS


def test_only_the_treated_answer_after_the_action() -> None:
    _, actions = shop()
    found = answers(actions, AnswerParameters(effect=0.2))
    treated = dict(
        row for row in zip(actions["customer_id"].to_pylist(), actions["decided_at"].to_pylist(), strict=True)
    )
    arms = dict(zip(actions["customer_id"].to_pylist(), actions["arm"].to_pylist(), strict=True))
    orders = found.log.select(["customer_id", "event_time"]).to_pylist()
    assert len(orders) == pytest.approx(0.2 * pc.sum(pc.equal(actions["arm"], "treatment")).as_py(), rel=0.1)
    assert {arms[row["customer_id"]] for row in orders} == {"treatment"}
    assert all(row["event_time"].timestamp() * 1000 > treated[row["customer_id"]] for row in orders)
    assert len(found.would) > len(orders)


def test_what_would_happen_does_not_depend_on_the_arm_or_on_other_actions() -> None:
    _, actions = shop()
    parameters = AnswerParameters(effect=0.2)
    at = actions.column_names.index("arm")
    swapped = actions.set_column(
        at,
        "arm",
        pc.if_else(pc.equal(actions["arm"], "holdout"), pa.scalar("treatment"), pa.scalar("holdout")),
    )
    whole = answers(actions, parameters)
    assert answers(swapped, parameters).would.equals(whole.would)
    assert len(answers(swapped, parameters).log) + len(whole.log) == len(whole.would)
    half = answers(actions.slice(0, len(actions) // 2), parameters).would
    assert set(half["customer_id"]) <= set(whole.would["customer_id"])


def test_effects_go_by_action_and_a_repeated_record_is_answered_once() -> None:
    _, actions = shop()
    parameters = AnswerParameters(effect=0.0, effects={"remind_of_cart": 1.0})
    found = answers(pa.concat_tables([actions, actions]), parameters)
    reminded = actions.filter(pc.equal(actions["action"], "remind_of_cart"))
    assert sorted(found.would["customer_id"]) == sorted(reminded["customer_id"].to_pylist())


def test_the_merged_log_is_a_log_in_order_that_claims_no_exact_score() -> None:
    made = case(0.05)
    validate(made.answered)
    times = made.answered["arrived_at"].cast(pa.int64()).to_numpy()
    assert (times[1:] >= times[:-1]).all()
    assert len(made.answered) == len(made.log) + len(made.answers.log)
    assert METADATA_KEY.encode() not in made.answered.schema.metadata


def test_the_true_effect_is_that_of_the_customers_who_were_compared() -> None:
    """Counted by hand: both outcomes of each customer, the treated one's from the merged log."""
    made = case(0.05)
    customers = outcomes(
        assigned(made.actions.to_pandas()).customers, payments(made.answered, "EUR"), WINDOW
    ).customers
    truth = true_effect(
        customers["customer_id"].tolist(), customers["decided_at"].to_numpy(), payments(made.log, "EUR").frame,
        made.answers.would, WINDOW,
    )  # fmt: skip
    alone = outcomes(
        assigned(made.actions.to_pandas()).customers, payments(made.log, "EUR"), WINDOW
    ).customers
    assert truth.held_out == pytest.approx(alone["bought"].mean())
    assert truth.revenue_held_out == pytest.approx(alone["revenue"].mean())
    everybody = made.actions.set_column(
        made.actions.column_names.index("arm"), "arm", pa.repeat("treatment", len(made.actions))
    )
    end = int(made.answered["event_time"].cast(pa.int64()).to_numpy().max())
    parameters = AnswerParameters(effect=0.05, effects={"remind_of_cart": 0.1})
    all_treated = merged(made.log, answers(everybody, parameters, end=end).log)
    treated = outcomes(
        assigned(everybody.to_pandas()).customers, payments(all_treated, "EUR"), WINDOW
    ).customers
    assert truth.treated == pytest.approx(treated["bought"].mean())
    assert truth.revenue_treated == pytest.approx(treated["revenue"].mean())


@pytest.mark.parametrize("text", ['{"effect": 2}', '{"delay_ms": 0}', '{"unknown": 1}', "{"])
def test_bad_parameters_are_one_line_with_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "answers.json"
    file.write_text(text)
    with pytest.raises(ParameterError, match="answers.json: "):
        AnswerParameters.load(file)
