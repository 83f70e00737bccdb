"""In memory: milliseconds a test, no servers."""

from shop import Tracking


def test_a_full_cart_makes_a_purchase_likelier(intent_memory):
    shop = Tracking(intent_memory.emitter)
    shop.viewed("ada", "sku-1", 19.9)
    before = intent_memory.scores["ada"][-1].purchase_intent
    shop.put_into_cart("ada", "sku-1", 19.9)
    assert intent_memory.scores["ada"][-1].purchase_intent > before
    assert intent_memory.letters == []  # nothing was refused


def test_a_login_joins_what_the_visitor_did(intent_memory):
    shop = Tracking(intent_memory.emitter)
    shop.put_into_cart("visitor-7", "sku-1", 19.9)
    shop.logged_in("visitor-7", "ada")
    assert intent_memory.scores["ada"][-1].merged == "visitor-7"
