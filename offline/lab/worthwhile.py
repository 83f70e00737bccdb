"""When a change is worth it: one rule for choosing a model, columns and settings, so that chapters agree.

What there is stays, unless the change gains at least `WORTHWHILE` AUC on rows that nothing was chosen by, and more than
chance gives, the number of changes that were tried considered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from offline.corrections import holm
from offline.lab.comparison import Comparison
from offline.lab.figures import Difference
from offline.lab.statistics import ALPHA

#: The smallest gain of AUC that is worth a more laborious model, other settings, or more columns. Of two hundred pairs
#: of a buyer and a non-buyer it puts one more in the right order.
WORTHWHILE: Final = 0.005
#: The model that stays unless another one is worth it: quick, good with any kind of column, and easy to explain.
USUAL: Final = "lightgbm"
#: The rule in words, for captions.
RULE: Final = (
    f"A change counts as worth it from a gain of {WORTHWHILE} AUC on, if it is also more than chance (p < {ALPHA} "
    "after correction for the number of comparisons by Holm 1979)."
)

Verdict = Literal["gain", "loss", "same", "unclear"]


class Change(NamedTuple):
    """A change of AUC that was tested.

    Attributes
    ----------
    gap
        AUC after the change less AUC before it.
    p
        Corrected for the number of changes that were tested together.
    """

    gap: Difference
    p: float

    @property
    def sure(self) -> bool:
        """Whether the change is more than chance."""
        return self.p < ALPHA

    @property
    def doubt(self) -> str:
        """What to say of a change that is not sure; its interval is that of one test alone.

        Examples
        --------
        >>> Change(Difference(0.02, -0.01, 0.05, 0.2), 0.2).doubt
        'may be chance'
        >>> Change(Difference(0.02, 0.001, 0.04, 0.04), 0.08).doubt
        'may be chance, since several were tested'
        """
        apart = self.gap.low > 0 or self.gap.high < 0
        return "may be chance, since several were tested" if apart else "may be chance"

    @property
    def verdict(self) -> Verdict:
        """What the change is: worthwhile, harmful, too small to matter, or not known.

        "gain" and "loss" are at least `WORTHWHILE` and more than chance. "same": the interval lies within it on either
        side, or the change is sure but smaller. "unclear": these rows cannot tell.
        """
        if self.sure and abs(self.gap.value) >= WORTHWHILE:
            return "gain" if self.gap.value > 0 else "loss"
        if self.sure or (self.gap.low > -WORTHWHILE and self.gap.high < WORTHWHILE):
            return "same"
        return "unclear"


def changes(gaps: Mapping[str, Difference]) -> dict[str, Change]:
    """Return changes of AUC tested together, their p-values corrected.

    Examples
    --------
    >>> found = changes({"a": Difference(0.02, 0.01, 0.03, 0.001), "b": Difference(0.02, -0.01, 0.05, 0.04)})
    >>> {name: (change.p, change.verdict) for name, change in found.items()}
    {'a': (0.002, 'gain'), 'b': (0.04, 'gain')}
    """
    corrected = holm([gap.p for gap in gaps.values()])
    return {name: Change(gap, p) for (name, gap), p in zip(gaps.items(), corrected, strict=True)}


def leads(comparison: Comparison) -> dict[str, Change]:
    """Return the lead of the best model of a comparison over every other one."""
    return changes({key: tests["auc"] for key, tests in comparison.tests.items()})


def main_model(comparison: Comparison) -> str:
    """Return the key of the model that a report goes by: `USUAL`, unless the best one is worth it.

    Where `USUAL` was not compared, the best one.
    """
    if USUAL not in comparison.models or comparison.best == USUAL:
        return comparison.best
    return comparison.best if leads(comparison)[USUAL].verdict == "gain" else USUAL
