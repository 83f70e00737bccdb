"""The reliability plot of `intent quality`."""

from __future__ import annotations

from stream.cli.quality import plot
from stream.learning.judging.prequential import Figures, ReliabilityBin


def figures(*bins: tuple[float, float]) -> Figures:
    return Figures(
        examples=10.0,
        prevalence=0.1,
        auc=None,
        pr_auc=None,
        log_loss=0.3,
        brier=0.1,
        ece=0.0,
        reliability=[ReliabilityBin(predicted, observed, 1.0) for predicted, observed in bins],
    )


def test_a_perfect_model_lies_on_the_diagonal() -> None:
    lines = plot(figures((0.0, 0.0), (0.2, 0.2), (0.4, 0.4)))
    field = [line.split("|")[1] for line in lines if "|" in line]
    assert field[-1][0] == "o"
    assert field[0].rstrip()[-1] == "o"
    assert sum(row.count("o") for row in field) == 3
    assert lines[-1].split() == ["0", "0.400", "predicted"]


def test_too_high_probabilities_lie_below_the_diagonal() -> None:
    lines = plot(figures((0.4, 0.1)))
    [row] = [line for line in lines if "o" in line.partition("|")[2]]
    assert row.index("o") > row.index(".")


def test_nothing_but_zeros_can_be_drawn() -> None:
    assert any("o" in line for line in plot(figures((0.0, 0.0))))
