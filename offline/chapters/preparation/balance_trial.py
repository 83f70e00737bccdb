"""What balancing the classes does to a model: shown on logistic regression, with and without prior correction."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression

from offline.preparation.balance import class_weights, correct_prior, resample
from offline.problems.problem import Problem
from offline.report.section import Table
from offline.training.evaluation import measure

_REPLICATES: Final = 50
_DRIFT: Final = 0.02
_WEIGHTS: Final = "class weights"


def try_balances(prepared: ColumnTransformer, train: Problem, test: Problem, seed: int) -> pd.DataFrame:
    """Return how logistic regression does on the test with every way of balancing, corrected and not."""
    target = train.target
    rows, test_rows = prepared.fit_transform(train.columns), prepared.transform(test.columns)
    natural = float(target.mean())
    groups = test.groups if test.groups is not None else np.arange(len(test))
    results = []

    def judge(name: str, guess: NDArray[np.float64]) -> None:
        found = measure(test.target.astype(np.int8), guess, groups, seed=seed, replicates=_REPLICATES)
        results.append(
            {"balancing": name, "mean probability": float(guess.mean()), "happened": found["prevalence"],
             "AUC": found["auc"], "PR-AUC": found["pr_auc"], "log-loss": found["log_loss"], "ECE": found["ece"]}
        )  # fmt: skip

    def fitted(chosen: NDArray[np.intp], weights: dict[bool, float] | None = None) -> NDArray[np.float64]:
        model = LogisticRegression(class_weight=weights, max_iter=500)
        guess: NDArray[np.float64] = model.fit(rows[chosen], target[chosen]).predict_proba(test_rows)[:, 1]
        return guess

    everything = np.arange(len(target))
    under, over = (resample(target, how, seed=seed) for how in ("under", "over"))
    judge("none", fitted(everything))
    for name, guess, trained in (
        (_WEIGHTS, fitted(everything, class_weights(target)), 0.5),
        ("undersampling", fitted(under), float(target[under].mean())),
        ("oversampling", fitted(over), float(target[over].mean())),
    ):
        judge(name, guess)
        judge(f"{name}, prior corrected", correct_prior(guess, trained, natural))
    return pd.DataFrame(results)


def balance_table(balance: pd.DataFrame, problem: Problem, trained: str) -> Table:
    """Return the trial as a table; ``trained`` says how the models of the report are trained."""
    without = f" without {' and '.join(problem.leaks)}" if problem.leaks else ""
    return Table(
        "Balancing the classes, with and without prior correction",
        balance,
        f"Logistic regression{without}, judged on the test rows. Undersampling leaves out negative training rows, "
        "oversampling repeats positive ones, class weights count positive ones more. Each makes the probability of the "
        "rare class too high; prior correction brings it back to the prevalence of the training rows. Log-loss and ECE "
        f"(how far probabilities lie from what happened): smaller is better. {trained}",
        {
            "mean probability": ".1%", "happened": ".1%", "AUC": ".3f", "PR-AUC": ".3f", "log-loss": ".3f",
            "ECE": ".3f",
        },
    )  # fmt: skip


def balance_sentence(train: Problem, test: Problem, balance: pd.DataFrame) -> str:
    """Return what the trial says, in a few sentences."""
    rows = balance.set_index("balancing")
    none, weighted, corrected = rows.loc["none"], rows.loc[_WEIGHTS], rows.loc[f"{_WEIGHTS}, prior corrected"]
    sentence = (
        f"{train.prevalence:.1%} of the training rows are positive. Class weights would make the mean probability "
        f"{weighted['mean probability']:.1%}, prior correction brings it back to {corrected['mean probability']:.1%}; "
        f"for ranking, balancing {_gain(none['AUC'], weighted['AUC'])} (AUC {none['AUC']:.3f} without, "
        f"{weighted['AUC']:.3f} with)."
    )
    if abs(test.prevalence - train.prevalence) > _DRIFT:
        sentence += (
            f" The later test rows have {test.prevalence:.1%} positives: that drift neither balancing "
            "nor correction knows of."
        )
    return sentence


def _gain(without: float, balanced: float) -> str:
    return "helps here" if balanced > without + _CLEAR else "is no gain to rely on"


_CLEAR: Final = 0.01
