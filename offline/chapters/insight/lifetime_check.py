"""Lifetime values tried on time that they have not seen, beside estimates that anybody could make."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from offline.chapters.insight.lifetime import GammaGamma, Histories, fit_gamma_gamma, histories_at
from offline.lab.bg_nbd import BgNbd, Floats, fit_bg_nbd
from offline.views.log_view import LogView
from offline.views.net_orders import net_orders, of_known_money

#: Share of the log's time that the check learns from.
LEARNED: Final = 0.7
MODEL, RATE, MEAN = "BG/NBD and gamma-gamma", "past spending goes on", "everybody alike"
_TOP: Final = 0.1
_GROUPS: Final = 10
_REPLICATES: Final = 300


class Check(NamedTuple):
    """Predictions of what customers would spend against what they did.

    Attributes
    ----------
    scores
        One row for each estimate: ``estimate``, ``total`` (predicted sum as a share of the true one), ``mae``, ``rank``
        (Spearman's correlation), ``top`` (share of the spending that came from the tenth it ranks highest), and the
        last three's ``... low`` and ``... high``, 95% intervals by a bootstrap over customers.
    groups
        Customers in ten groups by predicted value: ``predicted`` and ``happened`` means, with ``low`` and ``high``.
    since, until
        What was to be predicted.
    customers
        Who had ordered before.
    best_top
        What a ranking by the truth would have in its highest tenth.
    ahead
        How much larger ``top`` is for the model than for past spending, with its 95% interval over customers.
    returned
        Share of the customers who ordered: as the model expected, and as it was.
    """

    scores: pd.DataFrame
    groups: pd.DataFrame
    since: pd.Timestamp
    until: pd.Timestamp
    customers: int
    best_top: float
    ahead: tuple[float, float, float]
    returned: tuple[float, float]


class Lifetime(NamedTuple):
    """Lifetime values at the end of the log.

    Attributes
    ----------
    frame
        Indexed by the customer's number: ``returns`` (probability of an order), ``orders`` and ``value`` (money)
        expected within the next ``days``.
    """

    frequency: BgNbd
    money: GammaGamma
    frame: pd.DataFrame
    days: int


def lifetime_values(view: LogView, days: int) -> Lifetime:
    """Return what customers are expected to spend within the next days.

    Raises
    ------
    TrainingError
        Too few customers ordered again.
    """
    end = view.last + pd.Timedelta(seconds=1)
    histories = histories_at(view, end)
    frequency, money = fit_bg_nbd(histories), fit_gamma_gamma(histories)
    orders = frequency.expected(histories, days)
    frame = pd.DataFrame(
        {
            "returns": frequency.returns(histories, days),
            "orders": orders,
            "value": orders * money.expected(histories),
        },
        index=histories.customers,
    )
    return Lifetime(frequency, money, frame, days)


def check_lifetime(view: LogView, *, seed: int = 0) -> Check:
    """Learn from the first part of the log and predict what its customers spent in the rest.

    Raises
    ------
    TrainingError
        Too few customers ordered again in the first part.
    """
    view = of_known_money(view)
    end = view.last + pd.Timedelta(seconds=1)
    since = view.first + LEARNED * (end - view.first)
    days = (end - since) / pd.Timedelta(days=1)
    histories = histories_at(view, since)
    frequency, money = fit_bg_nbd(histories), fit_gamma_gamma(histories)
    before = net_orders(view, since).groupby("customer")["value"].sum()
    spent = before.reindex(histories.customers).to_numpy(np.float64)
    orders = net_orders(view)
    after = orders[orders["time"] >= since].groupby("customer")["value"].sum()
    truth = after.reindex(histories.customers).fillna(0.0).to_numpy(np.float64)
    estimates: dict[str, Floats] = {
        MODEL: frequency.expected(histories, days) * money.expected(histories),
        RATE: spent / np.maximum(histories.age, 7.0) * days,
        MEAN: np.full(len(truth), _mean_rate(histories, spent) * days),
    }
    came = after.reindex(histories.customers).notna().to_numpy()
    drawn = np.random.default_rng(seed).integers(len(truth), size=(_REPLICATES, len(truth)))
    tops = {name: _tops(estimates[name], truth, drawn) for name in (MODEL, RATE)}
    gap = tops[MODEL] - tops[RATE]
    low, high = np.quantile(gap, [0.025, 0.975])
    ahead = (_top(estimates[MODEL], truth) - _top(estimates[RATE], truth), float(low), float(high))
    return Check(
        pd.DataFrame([_score(name, guess, truth, drawn) for name, guess in estimates.items()]),
        _groups(estimates[MODEL], truth),
        since,
        end,
        len(truth),
        _top(truth, truth),
        ahead,
        (float(frequency.returns(histories, days).mean()), float(came.mean())),
    )


def _mean_rate(histories: Histories, spent: Floats) -> float:
    return float(spent.sum() / max(histories.age.sum(), 1.0))


def _score(name: str, guess: Floats, truth: Floats, drawn: NDArray[np.intp]) -> dict[str, Any]:
    tells = np.ptp(guess) > 0 and np.ptp(truth) > 0
    score: dict[str, Any] = {
        "estimate": name,
        "total": float(guess.sum() / max(truth.sum(), 1e-12)),
        "mae": float(np.abs(guess - truth).mean()),
        "rank": float(stats.spearmanr(guess, truth).statistic) if tells else 0.0,
        "top": _top(guess, truth) if tells else _TOP,
    }
    samples = {
        "mae": np.abs(guess - truth)[drawn].mean(axis=1),
        "rank": _ranks(guess, truth, drawn) if tells else np.zeros(1),
        "top": _tops(guess, truth, drawn) if tells else np.full(1, _TOP),
    }
    for measure, values in samples.items():
        score[f"{measure} low"], score[f"{measure} high"] = (
            float(v) for v in np.quantile(values, [0.025, 0.975])
        )
    return score


def _ranks(guess: Floats, truth: Floats, drawn: NDArray[np.intp]) -> Floats:
    """Return Spearman's correlation in every sample; ranks are those of all customers, which differ little."""
    first, second = stats.rankdata(guess)[drawn], stats.rankdata(truth)[drawn]
    first, second = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (first, second))
    return np.asarray(
        (first * second).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    )


def _tops(guess: Floats, truth: Floats, drawn: NDArray[np.intp]) -> Floats:
    return np.array([_top(guess[some], truth[some]) for some in drawn])


def _top(guess: Floats, truth: Floats) -> float:
    count = max(1, round(_TOP * len(guess)))
    best: NDArray[np.intp] = np.argsort(-guess, kind="stable")[:count]
    return float(truth[best].sum() / max(truth.sum(), 1e-12))


def _groups(guess: Floats, truth: Floats) -> pd.DataFrame:
    order = np.argsort(guess, kind="stable")
    rows = []
    for at, own in enumerate(np.array_split(order, min(_GROUPS, len(order)))):
        mean = float(truth[own].mean())
        half = 1.96 * float(truth[own].std(ddof=1)) / np.sqrt(len(own)) if len(own) > 1 else 0.0
        rows.append(
            {"group": at + 1, "customers": len(own), "predicted": float(guess[own].mean()), "happened": mean,
             "low": max(mean - half, 0.0), "high": mean + half}
        )  # fmt: skip
    return pd.DataFrame(rows)
