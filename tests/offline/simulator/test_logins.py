from __future__ import annotations

import pyarrow.compute as pc
import pytest

from features.identity import Identify, decode_identity
from features.log import validate
from offline.simulator.logins import with_late_logins
from offline.simulator.shop import ParameterError, ShopParameters
from offline.simulator.simulation import simulate


def test_late_logins_hide_the_customer_up_to_the_login_and_change_nothing_else() -> None:
    log = simulate(ShopParameters.default(), customers=200, days=3, seed=11)
    late = with_late_logins(log, 0.4, 11)
    validate(late)
    logins = [decode_identity(text.encode()) for text in late["identity"].to_pylist() if text]
    names = {one.anonymous_id: one for one in logins if isinstance(one, Identify)}
    assert 0.2 * 200 < len(names) <= 0.5 * 200
    events = late.filter(pc.is_null(late["identity"]))
    known = [names[one].customer_id if one in names else one for one in events["customer_id"].to_pylist()]
    assert known == log["customer_id"].to_pylist()
    assert events["event_id"].to_pylist() == log["event_id"].to_pylist()
    seen: set[str] = set()
    for customer, kind in zip(late["customer_id"].to_pylist(), late["type"].to_pylist(), strict=True):
        if kind == "identify":
            seen.add(names[customer].customer_id)
        else:
            assert customer not in names or names[customer].customer_id not in seen, (
                "an event after its login"
            )


def test_without_late_logins_the_log_is_the_same_object() -> None:
    log = simulate(ShopParameters.default(), customers=20, days=1, seed=11)
    assert with_late_logins(log, 0.0) is log


def test_a_share_lies_between_nothing_and_all() -> None:
    log = simulate(ShopParameters.default(), customers=20, days=1, seed=11)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        with_late_logins(log, 1.5)
