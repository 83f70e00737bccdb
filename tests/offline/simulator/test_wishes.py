from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.events import WISH_TYPES
from features.log import validate
from features.prices import decode_price
from offline.examples.examples import example_types
from offline.simulator.price_drops import with_price_drops
from offline.simulator.shop import ParameterError, ShopParameters
from offline.simulator.simulation import simulate
from offline.simulator.wishes import with_wishes


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return simulate(ShopParameters.default(), customers=200, days=3, seed=11)


def test_some_customers_wish_what_they_look_at_and_every_other_event_stays_what_it_was(log: pa.Table) -> None:
    found = with_wishes(log, 0.4, 11)
    validate(found)
    added = pc.is_in(found["type"], pa.array(WISH_TYPES))
    assert found.filter(pc.invert(added)).equals(log.replace_schema_metadata(found.schema.metadata))
    wishes = found.filter(added)
    assert len(pc.unique(wishes["event_id"])) == len(wishes)
    assert wishes["price"].null_count == 0
    kinds = {name: pc.sum(pc.equal(wishes["type"], name)).as_py() for name in WISH_TYPES}
    assert kinds["add_to_wishlist"] > kinds["remove_from_wishlist"] > 10
    assert 0.2 < len(pc.unique(wishes["customer_id"])) / len(pc.unique(log["customer_id"])) < 0.4
    times = found["event_time"].to_pylist()
    assert times == sorted(times)
    seen = set(zip(log["customer_id"].to_pylist(), log["item_id"].to_pylist(), strict=True))
    assert set(zip(wishes["customer_id"].to_pylist(), wishes["item_id"].to_pylist(), strict=True)) <= seen


def test_the_same_seed_gives_the_same_wishes_and_a_share_of_none_is_the_log_itself(log: pa.Table) -> None:
    assert with_wishes(log, 0.5, 3).equals(with_wishes(log, 0.5, 3))
    assert not with_wishes(log, 0.5, 3).equals(with_wishes(log, 0.5, 4))
    assert with_wishes(log, 0.0) is log
    with pytest.raises(ParameterError, match="between 0 and 1"):
        with_wishes(log, 1.5)


def test_prices_of_items_that_lie_on_wish_lists_alone_drop_too(log: pa.Table) -> None:
    wished = with_wishes(log, 0.6, 5)
    carts = log.filter(pc.equal(log["type"], "add_to_cart"))["item_id"].to_pylist()
    said = with_price_drops(wished, 1.0, 5)["identity"].drop_null().to_pylist()
    assert {decode_price(text.encode()).item_id for text in said} > set(carts)


def test_wishes_make_examples_only_where_a_log_has_some(log: pa.Table) -> None:
    assert not set(example_types(log)) & set(WISH_TYPES)
    assert example_types(with_wishes(log, 0.5, 3)) == (*example_types(log), *WISH_TYPES)
