"""What if: what the stream would say of a customer after events that have not happened. Nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from features.bundle import BANDS
from features.events import Identifier
from features.identity import is_identity_type
from features.prices import is_price_type
from features.refusals import Reason, Rejection
from features.watermark import BEGINNING
from stream.decisions.assignees import Assigning
from stream.ownership.standing import log_time
from stream.scoring.batch import Batch
from stream.scoring.in_force import Served
from stream.scoring.scorer import Models
from stream.serving.answers import (
    MOST_HYPOTHETICAL,
    Customer,
    HypotheticalScore,
    WhatIfAnswer,
    customers_of,
)
from stream.serving.checking import Candidate, candidates_of, check
from stream.serving.lookups import Known, Lookups, recommended
from stream.settings import Settings


class WhatIfQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A customer, known or not, and up to 20 events in our own form.

    What an event leaves out is filled in: `customer_id`, `event_id`, and `event_time` by now (of a replayed log: by the
    time at which it stands).
    """

    customer_id: Identifier
    events: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=MOST_HYPOTHETICAL)]
    features: bool = True


class WhatIf:
    """Answers questions.

    Parameters
    ----------
    lookups
        Read the states.
    served
        What is scored with.
    settings
        How events are decoded and judged.
    """

    def __init__(self, lookups: Lookups, served: Served, settings: Settings) -> None:
        self._lookups = lookups
        self._served = served
        self._settings = settings

    async def answer(self, question: WhatIfQuestion, now_ms: int) -> WhatIfAnswer:
        """Return what would be said.

        Parameters
        ----------
        now_ms
            The wall clock, epoch ms.

        Raises
        ------
        StoreUnavailable
            Redis does not answer.
        NoProbability
            A score is not a number from 0 to 1.
        """
        [known] = await self._lookups.known([question.customer_id])
        models, partitions = self._served.models, self._served.partitions
        now = log_time(known.record, self._settings.lateness_ms, now_ms)
        values = [_filled(fields, at, known.customer, now) for at, fields in enumerate(question.events)]
        candidates = candidates_of(values, None, self._settings.decoding, partitions, now_ms)
        for one in candidates:
            _refuse_others(one, known.customer)
            named = question.events[one.index].get("customer_id", known.customer)
            if named not in (question.customer_id, known.customer):
                detail = "the event names another customer: ask for that one, or leave `customer_id` out"
                one.rejection = Rejection(one.index, Reason.INVALID_FIELD, detail)
        watermark = BEGINNING if known.record is None else known.record.watermark
        checked = check(
            candidates,
            {known.place.partition: watermark},
            models.engine,
            self._settings.decoding,
            partitions=partitions,
            now_ms=now_ms,
        )
        before = self._described(known, question.features)
        said: dict[int, HypotheticalScore] = {}
        after = before
        if checked.batch is not None and len(checked.batch.rows):
            said, latest = _scored(models, checked.batch, checked.of_batch, known, question.features)
            after = latest or before
        return WhatIfAnswer(before, [said.get(one.index) or _unscored(one) for one in candidates], after)

    def _described(self, known: Known, features: bool) -> Customer | None:
        if not known.alive:
            return None
        [found] = self._lookups.described([known], [features])
        return found if isinstance(found, Customer) else None


def _scored(
    models: Models, batch: Batch, candidates: Sequence[Candidate], known: Known, features: bool
) -> tuple[dict[int, HypotheticalScore], Customer | None]:
    """Fold the events of a batch into a copy of the state; return what is said of each, and the answer at the end."""
    advisor = None if models.newest is None else models.newest.current
    states = known.states.copy()
    assigning = Assigning({known.customer: known.assigned} if known.assigned else {})
    scored = models.engine.score(
        batch.columns, batch.customers, batch.slots, states, advisor, assigning=assigning
    )
    at = batch.rows[scored.rows].tolist()
    actions = scored.rulebook.actions
    said = {
        candidates[record].index: HypotheticalScore(
            candidates[record].index,
            "scored",
            candidates[record].event_id,
            int(scored.as_of[row]),
            float(scored.probability[row]),
            BANDS[scored.band[row]],
            actions[scored.action[row]],
        )
        for row, record in enumerate(at)
    }
    if not at:
        return said, None
    answers = customers_of(
        models.engine,
        scored,
        [known.customer] * len(at),
        [known.place] * len(at),
        recommended(models, scored, batch.slots, [known.items]),
        features=np.append(np.zeros(len(at) - 1, np.bool_), features).tolist(),
    )
    return said, answers[-1]


def _filled(fields: dict[str, Any], at: int, customer: str, now: int) -> bytes:
    given = {"event_id": f"what-if-{at}", "customer_id": customer, "event_time": now}
    return msgspec.json.encode(given | fields | {"customer_id": customer})


def _refuse_others(candidate: Candidate, customer: str) -> None:
    """Refuse what is no event of the customer: a login moves what is known, a price counts in no feature."""
    if candidate.wanted and (
        is_identity_type(candidate.value) or is_price_type(candidate.value) or candidate.key != customer
    ):
        detail = "a login or a price cannot be tried: ask for the customer that a login leads to"
        candidate.rejection = Rejection(candidate.index, Reason.UNKNOWN_TYPE, detail)


def _unscored(candidate: Candidate) -> HypotheticalScore:
    event_id = candidate.event_id or None
    if candidate.rejection is not None:
        reason, detail = str(candidate.rejection.reason), candidate.rejection.detail
        return HypotheticalScore(candidate.index, "refused", event_id, reason=reason, detail=detail)
    return HypotheticalScore(candidate.index, "ignored" if candidate.ignored else "repeated", event_id)
