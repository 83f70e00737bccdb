"""What `intent quality` says and draws."""

from __future__ import annotations

from msgspec import structs

from stream.cli.quality import plot, sentence
from stream.learning.judging.prequential import Figures, ReliabilityBin
from stream.learning.report import Report, Window, intervals_of


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


def counted(examples: float, prevalence: float, auc: float | None = None) -> Figures:
    return structs.replace(figures(), examples=examples, prevalence=prevalence, auc=auc)


def report(bands: dict[str, Figures], windows: list[Figures] | None = None) -> Report:
    return Report(
        bundle="b", horizon_seconds=1800.0, mini_batches=1, as_of=0, segments={},
        total={"blend": counted(2_000.0, 0.05, 0.8)},
        windows=[Window(n, {"blend": window}) for n, window in enumerate(windows or [])],
        bands={name: {"blend": band} for name, band in bands.items()},
    )  # fmt: skip


def test_one_sentence_says_how_often_customers_bought_and_what_the_band_is_worth() -> None:
    told = sentence(report({"low": counted(1_900.0, 0.03), "high": counted(100.0, 0.43)}))
    assert told == (
        "Of the last 2,000 judged scores, 5.0% were followed by a purchase within 30 minutes; in the band high it was "
        "43% (95% interval: 34 to 53%), 8.6 times the average."
    )


def test_windows_that_differ_widen_the_interval() -> None:
    bands = {"low": counted(1_900.0, 0.03), "high": counted(100.0, 0.43)}
    alike = sentence(report(bands, [counted(400.0, 0.05)] * 5))
    apart = sentence(report(bands, [counted(400.0, share) for share in (0.01, 0.09, 0.02, 0.08, 0.05)]))
    assert "(95% interval: 34 to 53%)" in alike
    assert "(95% interval: 18 to 72%)" in apart


def test_without_buyers_or_a_band_the_sentence_says_that() -> None:
    assert sentence(report({"low": counted(50.0, 0.0)})).startswith("None of the last 50 judged scores was")
    assert sentence(report({"low": counted(50.0, 0.1)})).endswith(
        "30 minutes; none of them was in the band high."
    )
    assert "has to pass first" in sentence(report({}))


def test_intervals_come_from_five_windows_on_and_hold_the_figure() -> None:
    windows = [counted(400.0, share, 0.8 + share) for share in (0.01, 0.09, 0.02, 0.08, 0.05)]
    assert intervals_of(report({}, windows[:4])) == {"blend": {}}
    found = intervals_of(report({}, windows))["blend"]
    assert set(found) == {"prevalence", "auc", "log_loss", "brier"}
    low, high = found["prevalence"]
    # by hand: the standard deviation of the five shares is .0354, by the root of 5 .0158, times 2.78
    assert abs(low - (0.05 - 0.044)) < 0.001
    assert abs(high - (0.05 + 0.044)) < 0.001
    assert found["log_loss"].low == found["log_loss"].high == 0.3
