from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.log import validate
from features.prices import Price, decode_price
from offline.simulator.price_drops import with_price_drops
from offline.simulator.shop import ParameterError, ShopParameters
from offline.simulator.simulation import simulate


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return simulate(ShopParameters.default(), customers=200, days=3, seed=11)


def test_prices_drop_once_and_every_event_stays_what_it_was(log: pa.Table) -> None:
    priced = with_price_drops(log, 0.5, 11)
    validate(priced)
    events = priced.filter(pc.is_null(priced["identity"]))
    assert events.equals(log.replace_schema_metadata(events.schema.metadata))
    said = [decode_price(text.encode()) for text in priced["identity"].drop_null().to_pylist()]
    added = log.filter(pc.equal(log["type"], "add_to_cart"))
    costs = dict(zip(added["item_id"].to_pylist(), added["price"].to_pylist(), strict=True))
    assert len({price.item_id for price in said}) == len(said) > 0.3 * len(costs)
    assert all(isinstance(price, Price) and price.price < costs[price.item_id] for price in said)
    times = priced["event_time"].to_pylist()
    assert times == sorted(times)


def test_the_same_seed_gives_the_same_prices_and_none_are_no_change(log: pa.Table) -> None:
    assert with_price_drops(log, 0.5, 3).equals(with_price_drops(log, 0.5, 3))
    assert not with_price_drops(log, 0.5, 3).equals(with_price_drops(log, 0.5, 4))
    assert with_price_drops(log, 0.0) is log
    with pytest.raises(ParameterError, match="between 0 and 1"):
        with_price_drops(log, 1.5)
