"""Lists at past moments: how many on them bought, by the model and by a simple rule, each learned from before."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special, stats

from offline.chapters.budget.chooser import Floats, best_rule, chosen_by, fit_chooser
from offline.chapters.budget.moments import TESTS, Moment, learned_from
from offline.exceptions import TrainingError
from offline.lab.differences import summed_p_value
from offline.lab.statistics import ALPHA, COVERAGE, wilson

_HALF, _TINY = 0.5, 1e-9
_Z: Final = float(stats.norm.ppf((1 + COVERAGE) / 2))


class Expected(NamedTuple):
    """How many of a list will buy, and between which numbers that is with 95% probability."""

    value: float
    low: float
    high: float


class Trial(NamedTuple):
    """How lists did at past moments.

    Attributes
    ----------
    moments
        One row for each, the latest first: ``from``, ``customers`` known, ``listed``, ``buyers by model``, ``low`` and
        ``high`` (95%), ``rule``, ``buyers by rule``, ``by chance``, ``money by model``, ``money by rule``,
        ``expected by model`` (sum of its probabilities).
    ahead
        Buyers that the model's lists held beyond the rule's, a moment, and its 95% interval; p-value.
    p_value
        Of no difference.
    curve
        At the latest moment, by number of customers: buyers ``by model``, ``by rule``, ``by chance``.
    over_chance
        Buyers that the model's lists held beyond lists at random, in all, and the p-value of no difference.
    """

    moments: pd.DataFrame
    ahead: Expected
    p_value: float
    curve: pd.DataFrame
    over_chance: tuple[float, float] = (0.0, 1.0)

    @property
    def tells(self) -> bool:
        """Whether the model's lists held more buyers than lists at random, beyond chance."""
        more, p_value = self.over_chance
        return more > 0 and p_value < ALPHA


def try_lists(moments: list[Moment], count: int, *, seed: int = 0, quick: bool = False) -> Trial:
    """Make lists at past moments, each by what was known then.

    Parameters
    ----------
    moments
        The latest first. The model and the rule of each are chosen on the moments after it in this list.
    count
        Customers on a list.

    Raises
    ------
    TrainingError
        Nothing could be learned before any of them.
    """
    rows, gaps, curve = [], pd.Series(dtype="float64"), pd.DataFrame()
    more = pd.Series(dtype="float64")
    failed: TrainingError | None = None
    for nth, moment in enumerate(moments[: min(TESTS, len(moments) - 1)]):
        try:
            chooser = fit_chooser(learned_from(moments[nth + 1 :]), seed=seed, quick=quick)
        except TrainingError as error:
            failed = error
            break
        rule = best_rule(moments[nth + 1], count)
        probabilities = chooser.probabilities(moment.known)
        order = np.argsort(-probabilities, kind="stable")
        by_model, by_rule = order[:count], chosen_by(rule, moment.known, count)
        bought = moment.bought.to_numpy()
        rows.append(_row(moment, by_model, by_rule, rule, float(probabilities[by_model].sum())))
        gap = np.zeros(len(bought))
        gap[by_model[bought[by_model]]] += 1
        gap[by_rule[bought[by_rule]]] -= 1
        listed = np.isin(np.arange(len(bought)), by_model) - len(by_model) / len(bought)
        more = more.add(pd.Series(listed * (bought - bought.mean()), moment.known.index), fill_value=0.0)
        gaps = gaps.add(pd.Series(gap, moment.known.index), fill_value=0.0)
        if not nth:
            ranked = chosen_by(rule, moment.known, len(bought))
            curve = pd.DataFrame(
                {
                    "customers": np.arange(1, len(bought) + 1),
                    "by model": np.cumsum(bought[order]),
                    "by rule": np.cumsum(bought[ranked]),
                    "by chance": bought.mean() * np.arange(1, len(bought) + 1),
                }
            )
    if not rows:
        assert failed is not None
        raise failed
    # A customer may be on lists of several moments: differences are summed by customer before they are squared.
    spread = float(np.sqrt(np.square(gaps).sum()))
    total = float(gaps.sum())
    ends = (total, total - _Z * spread, total + _Z * spread)
    return Trial(
        pd.DataFrame(rows),
        Expected(*(end / len(rows) for end in ends)),
        summed_p_value(gaps),
        curve,
        (float(more.sum()), summed_p_value(more)),
    )


def agreeing(probabilities: Floats, total: float) -> Floats:
    """Return the probabilities of a list, all odds changed by one factor, so that they add up to the expected number.

    The model's own may be off for a whole list: past lists say by how much. The order stays.
    """
    total = min(max(total, _HALF), len(probabilities) - _HALF)
    logits = special.logit(np.clip(probabilities, _TINY, 1 - _TINY))
    shift = optimize.brentq(lambda by: float(special.expit(logits + by).sum()) - total, -60.0, 60.0)
    return np.asarray(special.expit(logits + shift), np.float64)


def expected_buyers(trial: Trial, count: int) -> Expected:
    """Return how many of a new list of ``count`` will buy, by how many of the past ones did.

    The interval is for the number itself: it holds the chance of the new list, the uncertainty of the share, and how
    much shares differed from moment to moment beyond chance.
    """
    hits, sizes = (trial.moments[name].to_numpy(np.float64) for name in ("buyers by model", "listed"))
    share = (hits.sum() + 1) / (sizes.sum() + 2)  # a list without buyers does not prove that there are none
    within = share * (1 - share)
    between = 0.0
    if len(hits) > 1:
        between = max(0.0, float(np.var(hits / sizes, ddof=1)) - within * float(np.mean(1 / sizes)))
    variance = count * within * (1 + count / sizes.sum()) + count**2 * between * (1 + 1 / len(hits))
    half = float(stats.t.ppf((1 + COVERAGE) / 2, max(len(hits) - 1, 1)) if between else _Z) * np.sqrt(
        variance
    )
    value = count * hits.sum() / sizes.sum()
    return Expected(float(value), float(max(0.0, value - half)), float(min(count, value + half)))


def _row(
    moment: Moment, by_model: NDArray[np.intp], by_rule: NDArray[np.intp], rule: str, expected: float
) -> dict[str, object]:
    bought, money = moment.bought.to_numpy(), moment.money.to_numpy()
    hits = int(bought[by_model].sum())
    low, high = wilson([hits], [len(by_model)])
    return {
        "from": moment.at,
        "customers": len(bought),
        "listed": len(by_model),
        "buyers by model": hits,
        "low": float(low[0] * len(by_model)),
        "high": float(high[0] * len(by_model)),
        "rule": rule,
        "buyers by rule": int(bought[by_rule].sum()),
        "by chance": float(bought.mean() * len(by_model)),
        "expected by model": expected,
        "money by model": float(money[by_model].sum()),
        "money by rule": float(money[by_rule].sum()),
    }
