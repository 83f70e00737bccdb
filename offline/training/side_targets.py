"""Side targets: what else happens within the horizon, for the network to learn beside the label.

A label says yes or no, and yes in a few per cent of examples; whether and how soon a cart, a search or any next event
follows says far more about the same customer. None of them looks further than the label does, so an embargo that
holds for labels holds for side targets.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import njit
from features.events import EVENT_TYPES, TYPE_CODES
from offline.examples.examples import Examples

_LATEST: Final = (1 / 10, 1.0)

#: Groups of event types, and the parts of the horizon within which one of them may follow.
SIDE_TARGETS: Final = (
    (("purchase",), (1 / 30, 1 / 10, 1 / 3, 2 / 3)),
    (("begin_checkout",), (1 / 10, 1 / 3, 1.0)),
    (("add_to_cart",), (1 / 30, 1 / 10, 1 / 3, 1.0)),
    (("remove_from_cart",), (1 / 6, 1.0)),
    (("view_item",), _LATEST),
    (("view_item_list",), _LATEST),
    (("search",), _LATEST),
    (EVENT_TYPES, (1 / 30, 1 / 6, 1.0)),
)

_NEVER: Final = np.iinfo(np.int64).max


def side_targets(examples: Examples, rows: NDArray[np.int64], horizon_ms: int) -> NDArray[np.uint8]:
    """Return for each example whether each side target is met, shape ``(rows, side targets)``.

    Targets that all examples meet, or none, or that equal the label throughout are left out.

    Parameters
    ----------
    rows
        The training slice.
    """
    in_order = (examples.event_time == examples.as_of) & ~examples.apart
    columns = []
    for names, parts in SIDE_TARGETS:
        wanted = in_order & np.isin(examples.kinds, [TYPE_CODES[name] for name in names])
        wait = _wait(examples.customers, examples.as_of, wanted)[rows]
        for part in parts:
            met = wait <= part * horizon_ms
            if met.any() and not met.all() and (met != examples.labels[rows]).any():
                columns.append(met.astype(np.uint8))
    return np.column_stack(columns) if columns else np.zeros((len(rows), 0), np.uint8)


@njit(cache=True, nogil=True)
def _wait(
    customers: NDArray[np.int64], as_of: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> NDArray[np.int64]:  # pragma: no cover
    """Return the time (ms) from every event to its customer's next wanted one in order of arrival."""
    out = np.full(len(as_of), _NEVER)
    following = np.full(customers.max() + 1 if len(customers) else 0, _NEVER)
    for i in range(len(as_of) - 1, -1, -1):
        customer = customers[i]
        if following[customer] != _NEVER:
            out[i] = following[customer] - as_of[i]
        if wanted[i]:
            following[customer] = as_of[i]
    return out
