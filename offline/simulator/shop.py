"""The simulated shop: what its customers do, how often, and when it differs.

Customers are independent marked Markovian arrival processes. Each has a hidden persona and a hidden state
that moves in continuous time and emits events; `ShopParameters` holds every rate and probability of that
process, and a JSON merge patch (RFC 7396) replaces any part of it. `offline.simulator.process` turns the parameters
into the matrices that both the simulator and the exact filter run on.
"""

import json
import math
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec

from features.exceptions import IntentError
from offline.simulator.default import DEFAULT_SHOP

StateName = Literal["away_cold", "away_hot", "browse", "compare", "decide", "checkout", "bought"]
TypeName = Literal[
    "view_item", "view_item_list", "search", "add_to_cart", "remove_from_cart", "begin_checkout", "purchase"
]
STATES: Final[tuple[StateName, ...]] = get_args(StateName)
TYPES: Final[tuple[TypeName, ...]] = get_args(TypeName)
PURCHASE: Final = TYPES.index("purchase")

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000

_HOURS_A_DAY: Final = 24
_SUM_TOLERANCE: Final = 1e-9


class ParameterError(IntentError):
    """A parameter of the simulated shop, or of a simulation of it, is missing or impossible."""

    exit_code = 2


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _require_factors(struct: msgspec.Struct, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(struct, name)
        _require(math.isfinite(value) and value >= 0, f"{name} must be a finite number >= 0, not {value}")


def _require_distribution(where: str, shares: dict[StateName, float]) -> None:
    for state, share in shares.items():
        _require(
            math.isfinite(share) and share >= 0, f"{where}: the share of {state} is {share}, must be >= 0"
        )
    total = sum(shares.values())
    _require(abs(total - 1) <= _SUM_TOLERANCE, f"{where}: the shares sum to {total:g}, must sum to 1")


class Persona(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of customer: its share, where its first visit starts, and factors on the shop's rates.

    Attributes
    ----------
    weight
        Share of customers, in [0, 1].
    first_state
        Distribution of the hidden state at arrival.
    speed, cart, buy, list, search
        Factors on all event rates, and on those of carts, purchases, lists and searches. Checkouts in
        ``decide`` go with the square root of ``buy``.
    leave
        Factor on browse to away (both) and compare to away_cold; its square root on compare to away_hot.
    compare, decide
        Factors on browse to compare and on compare to decide.
    comeback, resume
        Factors on all ways out of away_cold, and on away_hot to browse, compare and decide.
    """

    weight: float
    first_state: dict[StateName, float]
    speed: float = 1.0
    leave: float = 1.0
    compare: float = 1.0
    decide: float = 1.0
    cart: float = 1.0
    buy: float = 1.0
    comeback: float = 1.0
    resume: float = 1.0
    list: float = 1.0
    search: float = 1.0

    def __post_init__(self) -> None:
        """Check shares and factors."""
        _require_factors(self, tuple(f for f in self.__struct_fields__ if f != "first_state"))
        _require_distribution("first_state", self.first_state)


class DayPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the day (UTC) that lasts until the next one.

    Attributes
    ----------
    from_hour
        Its first hour, 0 to 23.
    activity
        Factor on arrivals, on the ways out of away_cold and on away_hot to browse, compare and decide.
    decide
        Factor on compare to decide.
    """

    from_hour: int
    activity: float = 1.0
    decide: float = 1.0

    def __post_init__(self) -> None:
        """Check hour and factors."""
        _require(0 <= self.from_hour < _HOURS_A_DAY, f"from_hour must be 0 to 23, not {self.from_hour}")
        _require_factors(self, ("activity", "decide"))


class Sale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A window in which customers behave differently (concept drift).

    Attributes
    ----------
    from_day, to_day
        First day and the day after the last one, counted from the simulation's start.
    comeback, buy, decide, list, search
        Factors beside each persona's own.
    browse_cart
        Factor on the cart rate in browse.
    idle_cart
        Probability that a cart in browse or compare leaves the state as it was (carting without intent).
    """

    from_day: float = 8.0
    to_day: float = 13.0
    comeback: float = 1.0
    buy: float = 1.0
    decide: float = 1.0
    list: float = 1.0
    search: float = 1.0
    browse_cart: float = 1.0
    idle_cart: float = 0.0

    def __post_init__(self) -> None:
        """Check the window and the factors."""
        _require_factors(self, self.__struct_fields__)
        _require(
            self.from_day < self.to_day, f"to_day {self.to_day:g} must be above from_day {self.from_day:g}"
        )
        _require(self.idle_cart <= 1, f"idle_cart must be in [0, 1], not {self.idle_cart}")


SALES: Final[dict[str, Sale]] = {
    "s9": Sale(comeback=1.5, buy=3, decide=2, list=2, search=0.5, browse_cart=25, idle_cart=0.95),
    "s10": Sale(comeback=1.5, buy=4, decide=4, list=1.5, search=0.7),
}


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is drawn beside the process, so that it changes nothing in the exact probability.

    Attributes
    ----------
    items, categories
        Numbers of items and of categories; items are spread evenly over the categories.
    zipf
        Exponent of the popularity of categories, and of items within one.
    median_price, price_spread
        Median and log standard deviation of the items' prices, in ``currency``.
    persistence
        Probability that a session starts in the category where the customer's last one ended.
    drift
        Probability that an event within a session moves on to another category.
    revisit
        Probability that a view is of the item viewed last.
    app
        Share of customers who mostly use the app.
    loyalty
        Probability that a session uses the customer's usual channel, and its usual device.
    currency
        ISO 4217 code of all money.
    countries
        Country code to share of customers.
    seed
        Seed of the prices: one shop, whatever customers are simulated.
    """

    items: int = 6000
    categories: int = 40
    zipf: float = 0.9
    median_price: float = 24.0
    price_spread: float = 0.9
    persistence: float = 0.6
    drift: float = 0.08
    revisit: float = 0.15
    app: float = 0.35
    loyalty: float = 0.9
    currency: str = "EUR"
    countries: dict[str, float] = msgspec.field(
        default_factory=lambda: {"DE": 0.45, "FR": 0.2, "NL": 0.15, "AT": 0.12, "BE": 0.08}
    )
    seed: int = 1

    def __post_init__(self) -> None:
        """Check sizes, shares and the price distribution."""
        _require(self.categories >= 1, f"categories must be at least 1, not {self.categories}")
        _require(
            self.items >= self.categories,
            f"items ({self.items}) must be at least categories ({self.categories})",
        )
        _require_factors(self, ("zipf", "price_spread"))
        _require(0 < self.median_price < math.inf, f"median_price must be above 0, not {self.median_price}")
        for name in ("persistence", "drift", "revisit", "app", "loyalty"):
            _require(0 <= getattr(self, name) <= 1, f"{name} must be in [0, 1], not {getattr(self, name)}")
        _require(
            all(share >= 0 for share in self.countries.values())
            and abs(sum(self.countries.values()) - 1) <= _SUM_TOLERANCE,
            "the shares of countries must be >= 0 and sum to 1",
        )
        _require(self.seed >= 0, f"seed must be >= 0, not {self.seed}")


class ShopParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every rate and probability of the simulated shop.

    Attributes
    ----------
    event_rates
        Events per minute by state and type.
    transitions
        Hidden moves per minute by state and next state.
    after_event
        Distribution of the state after an event, by type and state; what is not named stays.
    personas
        Kinds of customers by name; their weights sum to 1.
    day_parts
        Parts of the day in order, the first from hour 0.
    sale
        A window of other behaviour, or ``None``.
    catalogue
        Items, prices, channels.

    Examples
    --------
    >>> shop = ShopParameters.patched({"personas": {"heavy": {"buy": 3}}, "sale": {"buy": 4}})
    >>> shop.personas["heavy"].buy, shop.personas["heavy"].weight, shop.sale.to_day
    (3.0, 0.025, 13.0)
    """

    event_rates: dict[StateName, dict[TypeName, float]]
    transitions: dict[StateName, dict[StateName, float]]
    after_event: dict[TypeName, dict[StateName, dict[StateName, float]]]
    personas: dict[str, Persona]
    day_parts: tuple[DayPart, ...]
    sale: Sale | None = None
    catalogue: Catalogue = msgspec.field(default_factory=Catalogue)

    def __post_init__(self) -> None:
        """Check rates, distributions, weights and the order of the parts of the day."""
        tables: tuple[tuple[str, dict[StateName, dict[Any, float]]], ...] = (
            ("event_rates", self.event_rates),
            ("transitions", self.transitions),
        )
        for table_name, table in tables:
            for state, rates in table.items():
                for name, rate in rates.items():
                    where = f"{table_name}.{state}.{name}"
                    _require(
                        math.isfinite(rate) and rate >= 0, f"{where} must be a finite rate >= 0, not {rate}"
                    )
        for state, moves in self.transitions.items():
            _require(state not in moves, f"transitions.{state}: a state has no transition to itself")
        for kind, kernels in self.after_event.items():
            for state, shares in kernels.items():
                _require_distribution(f"after_event.{kind}.{state}", shares)
        total = sum(persona.weight for persona in self.personas.values())
        _require(
            abs(total - 1) <= _SUM_TOLERANCE, f"the weights of the personas sum to {total:g}, must sum to 1"
        )
        for name, persona in self.personas.items():
            for state, share in persona.first_state.items():
                rates = self.event_rates.get(state, {})
                _require(
                    share == 0 or sum(rates.values()) * persona.speed > 0,
                    f"persona {name} starts in {state}, which has no events, but an arrival is an event",
                )
        hours = [part.from_hour for part in self.day_parts]
        _require(
            bool(hours) and hours[0] == 0 and hours == sorted(set(hours)),
            f"day_parts must start at hour 0 and ascend, not {hours}",
        )
        _require(
            any(part.activity > 0 for part in self.day_parts), "one of day_parts needs an activity above 0"
        )

    @classmethod
    def default(cls) -> "ShopParameters":
        """Return the shop that all documented figures are measured on."""
        return cls.patched({})

    @classmethod
    def patched(cls, patch: dict[str, Any]) -> "ShopParameters":
        """Return the default shop after a JSON merge patch: objects merge, null removes, the rest is set."""
        try:
            return msgspec.convert(_merged(DEFAULT_SHOP, patch), cls)
        except msgspec.ValidationError as error:
            raise ParameterError(f"shop parameters: {error}") from error

    @classmethod
    def load(cls, path: Path) -> "ShopParameters":
        """Read a JSON merge patch of the default shop from a file.

        Raises
        ------
        ParameterError
            The file can't be read, is not a JSON object, or names an impossible value.
        """
        try:
            patch = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ParameterError(
                f"shop parameters {path}: {error.strerror}; name a readable JSON file"
            ) from error
        except ValueError as error:
            raise ParameterError(f"shop parameters {path}: not JSON ({error})") from error
        if not isinstance(patch, dict):
            raise ParameterError(f"shop parameters {path}: must be a JSON object, not {type(patch).__name__}")
        try:
            return cls.patched(patch)
        except ParameterError as error:
            raise ParameterError(f"{path}: {error}") from error


def _merged(base: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396) without changing its arguments."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
