"""The default shop: rates per minute and probabilities, as data.

The figures in the documentation are measured with these values; `offline.simulator.shop.ShopParameters` says what each
means and checks them.
"""

from typing import Any, Final

_BUYS = {"bought": 0.8, "away_cold": 0.2}

DEFAULT_SHOP: Final[dict[str, Any]] = {
    "event_rates": {
        "browse": {"view_item": 2, "view_item_list": 0.3, "search": 0.1, "add_to_cart": 0.0045},
        "compare": {
            "view_item": 1.4,
            "view_item_list": 0.12,
            "search": 0.4,
            "add_to_cart": 0.035,
            "remove_from_cart": 0.008,
        },
        "decide": {
            "view_item": 0.6,
            "view_item_list": 0.04,
            "search": 0.06,
            "add_to_cart": 0.56,
            "remove_from_cart": 0.07,
            "begin_checkout": 0.5,
            "purchase": 0.2,
        },
        "checkout": {
            "view_item": 0.2,
            "view_item_list": 0.01,
            "search": 0.01,
            "add_to_cart": 0.04,
            "remove_from_cart": 0.04,
            "begin_checkout": 0.05,
            "purchase": 1,
        },
        "bought": {
            "view_item": 0.6,
            "view_item_list": 0.15,
            "search": 0.05,
            "add_to_cart": 0.006,
            "purchase": 0.01,
        },
    },
    "transitions": {
        "browse": {"away_cold": 0.3, "away_hot": 0.04, "compare": 0.03},
        "compare": {"away_cold": 0.08, "away_hot": 0.12, "browse": 0.08, "decide": 0.11},
        "decide": {"away_cold": 0.05, "away_hot": 0.15, "compare": 0.1},
        "checkout": {"away_cold": 0.05, "away_hot": 0.1, "decide": 0.1},
        "bought": {"away_cold": 0.4, "away_hot": 0.02, "browse": 0.04},
        "away_cold": {"browse": 1 / 43_200, "compare": 1 / 200_000},
        "away_hot": {"browse": 1 / 3000, "compare": 1 / 1500, "decide": 1 / 2000, "away_cold": 1 / 1440},
    },
    "after_event": {
        "view_item": {
            "browse": {"browse": 0.95, "compare": 0.03, "away_cold": 0.02},
            "bought": {"bought": 0.8, "browse": 0.1, "away_cold": 0.1},
        },
        "search": {
            "browse": {"browse": 0.7, "compare": 0.3},
            "bought": {"browse": 0.5, "bought": 0.5},
        },
        "add_to_cart": {
            "browse": {"browse": 0.8, "compare": 0.17, "decide": 0.03},
            "compare": {"compare": 0.4, "decide": 0.6},
            "bought": {"compare": 0.5, "decide": 0.5},
        },
        "remove_from_cart": {
            "compare": {"compare": 0.7, "away_cold": 0.3},
            "decide": {"decide": 0.5, "compare": 0.5},
            "checkout": {"decide": 0.5, "compare": 0.3, "away_cold": 0.2},
        },
        "begin_checkout": {"decide": {"checkout": 1}},
        "purchase": {"decide": _BUYS, "checkout": _BUYS},
    },
    "personas": {
        "bouncer": {
            "weight": 0.545,
            "first_state": {"browse": 1},
            "speed": 1,
            "leave": 3,
            "compare": 0.05,
            "decide": 0.1,
            "cart": 0.5,
            "buy": 0.05,
            "comeback": 0.5,
            "resume": 0.5,
            "list": 1,
            "search": 1,
        },
        "browser": {
            "weight": 0.355,
            "first_state": {"browse": 0.97, "compare": 0.03},
            "speed": 1.7,
            "leave": 0.75,
            "compare": 0.2,
            "decide": 0.02,
            "cart": 1,
            "buy": 0.04,
            "comeback": 3,
            "resume": 1,
            "list": 1.4,
            "search": 0.7,
        },
        "goal": {
            "weight": 0.075,
            "first_state": {"browse": 0.2, "compare": 0.65, "decide": 0.15},
            "speed": 0.9,
            "leave": 1.2,
            "compare": 2.5,
            "decide": 1.3,
            "cart": 1.2,
            "buy": 1.2,
            "comeback": 1.5,
            "resume": 1.5,
            "list": 0.35,
            "search": 2,
        },
        "heavy": {
            "weight": 0.025,
            "first_state": {"browse": 0.3, "compare": 0.45, "decide": 0.25},
            "speed": 1,
            "leave": 1.3,
            "compare": 4,
            "decide": 2.5,
            "cart": 1.3,
            "buy": 2,
            "comeback": 15,
            "resume": 3,
            "list": 0.3,
            "search": 1.6,
        },
    },
    "day_parts": [
        {"from_hour": 0, "activity": 0.25, "decide": 1},
        {"from_hour": 7, "activity": 1, "decide": 1},
        {"from_hour": 18, "activity": 1.5, "decide": 1.3},
    ],
    "catalogue": {},
}
