"""What simulated events are about: sessions, items, carts, prices, channels and devices.

Everything here is drawn beside the process, from the events' order and times alone and never from a hidden
state, so it tells a model nothing about the exact probability of a purchase beyond what the events themselves
tell.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import njit
from offline.simulator.drawing import chosen, mixed, uniform
from offline.simulator.shop import TYPES, Catalogue

SESSION_GAP_MS: Final = 1_800_000
CHANNELS: Final = ("web", "app")
DEVICES: Final = ("desktop", "mobile", "tablet")
# Bounds the lines of a cart, well under the 100 items that an event may carry; a full one grows in quantity.
CART_LINES: Final = 20

_VIEW, _LIST, _SEARCH, _ADD, _REMOVE, _CHECKOUT, _PURCHASE = range(len(TYPES))
_WHOLE_CART, _NO_ITEM = -1, -2
_DEVICE_SHARES: Final = np.cumsum([[0.55, 0.37, 0.08], [0.0, 0.85, 0.15]], axis=1)
_TWO_PIECES: Final = 0.12


class Chances(NamedTuple):
    """The probabilities of `Catalogue`."""

    persistence: float
    drift: float
    revisit: float
    app: float
    loyalty: float


class Shelves(NamedTuple):
    """The catalogue as arrays.

    Attributes
    ----------
    category_popularity, item_popularity
        Cumulative Zipf weights of the categories, and of an item's rank within its category.
    prices
        Per item, in cents; item ``i`` is number ``i // categories`` in category ``i % categories``.
    countries
        Cumulative shares.
    chances
        Of the catalogue, as they are.
    """

    category_popularity: NDArray[np.float64]
    item_popularity: NDArray[np.float64]
    prices: NDArray[np.int64]
    countries: NDArray[np.float64]
    chances: Chances


def shelves(catalogue: Catalogue) -> Shelves:
    """Lay out the catalogue; its prices depend on its own seed, not on a simulation's."""
    ranks = catalogue.items // catalogue.categories
    rng = np.random.default_rng(catalogue.seed)
    prices = catalogue.median_price * np.exp(catalogue.price_spread * rng.standard_normal(catalogue.items))
    return Shelves(
        np.cumsum(np.arange(1, catalogue.categories + 1, dtype=np.float64) ** -catalogue.zipf),
        np.cumsum(np.arange(1, ranks + 1, dtype=np.float64) ** -catalogue.zipf),
        np.maximum(np.rint(prices * 100), 1).astype(np.int64),
        np.cumsum(np.array(list(catalogue.countries.values()))),
        Chances(*(float(getattr(catalogue, name)) for name in Chances._fields)),
    )


class Cart(NamedTuple):
    """A customer's cart, changed in place: items and quantities of its first ``lines[0]`` lines."""

    item: NDArray[np.int32]
    quantity: NDArray[np.int32]
    lines: NDArray[np.int64]


class Decoration(NamedTuple):
    """What each event is about, in the order of the events that it was drawn for; -1 where there is nothing.

    Attributes
    ----------
    session
        Running number over all customers, shape (events,).
    item, category
        Numbers in the catalogue, shape (events,).
    quantity, cents
        Number of pieces and value of the whole event, shape (events,).
    country, channel, device
        Codes, shape (events,).
    first_line
        Where each event's lines of the cart begin, shape (events + 1,).
    line_item, line_quantity
        The lines of all events, shape (lines,).
    """

    session: NDArray[np.int32]
    item: NDArray[np.int32]
    category: NDArray[np.int32]
    quantity: NDArray[np.int32]
    cents: NDArray[np.int64]
    country: NDArray[np.int8]
    channel: NDArray[np.int8]
    device: NDArray[np.int8]
    first_line: NDArray[np.int64]
    line_item: NDArray[np.int32]
    line_quantity: NDArray[np.int32]


def decorate(
    seed: int,
    catalogue: Catalogue,
    customer: NDArray[np.int32],
    time: NDArray[np.int64],
    kind: NDArray[np.int8],
) -> Decoration:
    """Draw what the events are about.

    Parameters
    ----------
    seed
        The simulation's seed.
    catalogue
        What the shop sells.
    customer, time, kind
        Customer number, epoch milliseconds and type code; customers one after another, each in order of time.
    """
    listing = np.count_nonzero((kind == _CHECKOUT) | (kind == _PURCHASE))
    capacity = int(4 * listing + CART_LINES)
    while True:
        out = _undecorated(len(time), capacity)
        if _draw(seed, shelves(catalogue), catalogue.categories, customer, time, kind, out):
            lines = out.first_line[-1]
            return out._replace(line_item=out.line_item[:lines], line_quantity=out.line_quantity[:lines])
        capacity *= 2


def _undecorated(events: int, lines: int) -> Decoration:
    return Decoration(
        session=np.empty(events, np.int32),
        item=np.empty(events, np.int32),
        category=np.empty(events, np.int32),
        quantity=np.empty(events, np.int32),
        cents=np.empty(events, np.int64),
        country=np.empty(events, np.int8),
        channel=np.empty(events, np.int8),
        device=np.empty(events, np.int8),
        first_line=np.zeros(events + 1, np.int64),
        line_item=np.empty(lines, np.int32),
        line_quantity=np.empty(lines, np.int32),
    )


@njit(cache=True)
def _draw(  # noqa: PLR0917  (a compiled loop has no keywords)
    seed: int,
    shop: Shelves,
    categories: int,
    customer: NDArray[np.int32],
    time: NDArray[np.int64],
    kind: NDArray[np.int8],
    out: Decoration,
) -> bool:
    """Fill ``out``; false when the carts' lines do not fit."""
    random = np.empty(1, dtype=np.uint64)
    cart = Cart(
        np.empty(CART_LINES, dtype=np.int32),
        np.empty(CART_LINES, dtype=np.int32),
        np.zeros(1, dtype=np.int64),
    )
    session = viewed = -1
    lines = category = usual_channel = usual_device = country = channel = device = 0
    for n in range(len(time)):
        arrived = n == 0 or customer[n] != customer[n - 1]
        begun = arrived or time[n] - time[n - 1] > SESSION_GAP_MS
        if arrived:
            random[0] = mixed(seed, 2 * int(customer[n]) + 1)
            usual_channel, usual_device, country = _new_customer(shop, random)
            cart.lines[0] = 0
        if begun:
            session += 1
            channel, device = _new_session(shop, usual_channel, usual_device, random)
        stays = shop.chances.persistence if begun else 1 - shop.chances.drift
        if arrived or uniform(random) >= stays:
            category = _ranked(shop.category_popularity, random)
            viewed = -1
        if viewed < 0 or (kind[n] == _VIEW and uniform(random) >= shop.chances.revisit):
            viewed = _ranked(shop.item_popularity, random) * categories + category

        item, pieces = _subject(kind[n], viewed, cart, random)
        cents = -1
        if item >= 0:
            cents = max(pieces, 1) * shop.prices[item]
        elif item == _WHOLE_CART:
            if lines + cart.lines[0] > len(out.line_item):
                return False
            pieces, cents = _listed(cart, shop.prices, out, lines)
            lines += cart.lines[0]
        if kind[n] == _PURCHASE:
            cart.lines[0] = 0
        out.session[n] = session
        out.item[n] = max(item, -1)
        out.category[n] = -1 if item == _WHOLE_CART else (category if item < 0 else item % categories)
        out.quantity[n] = pieces
        out.cents[n] = cents
        out.country[n] = country
        out.channel[n] = channel
        out.device[n] = device
        out.first_line[n + 1] = lines
    return True


@njit(cache=True)
def _ranked(cumulative: NDArray[np.float64], random: NDArray[np.uint64]) -> int:
    return int(min(np.searchsorted(cumulative, uniform(random) * cumulative[-1]), len(cumulative) - 1))


@njit(cache=True)
def _new_customer(shop: Shelves, random: NDArray[np.uint64]) -> tuple[int, int, int]:
    channel = 1 if uniform(random) < shop.chances.app else 0
    device = chosen(_DEVICE_SHARES[channel], uniform(random))
    return channel, device, chosen(shop.countries, uniform(random))


@njit(cache=True)
def _new_session(
    shop: Shelves, usual_channel: int, usual_device: int, random: NDArray[np.uint64]
) -> tuple[int, int]:
    channel = usual_channel if uniform(random) < shop.chances.loyalty else 1 - usual_channel
    if channel == usual_channel and uniform(random) < shop.chances.loyalty:
        return channel, usual_device
    return channel, chosen(_DEVICE_SHARES[channel], uniform(random))


@njit(cache=True)
def _subject(kind: int, viewed: int, cart: Cart, random: NDArray[np.uint64]) -> tuple[int, int]:
    """Return the item that an event is about and how many pieces (-1: none), and change the cart."""
    if kind in (_LIST, _SEARCH):
        return _NO_ITEM, -1
    if kind == _VIEW:
        return viewed, -1
    if kind == _ADD:
        pieces = 2 if uniform(random) < _TWO_PIECES else 1
        return _put(cart, viewed, pieces, random), pieces
    if cart.lines[0] > 0:
        return _taken(cart, random) if kind == _REMOVE else (_WHOLE_CART, -1)
    return viewed, 1


@njit(cache=True)
def _put(cart: Cart, item: int, pieces: int, random: NDArray[np.uint64]) -> int:
    """Add to the cart, or to one of its lines when it is full; return the item that was added."""
    lines = cart.lines[0]
    line = 0
    while line < lines and cart.item[line] != item:
        line += 1
    if line == CART_LINES:
        line = int(uniform(random) * lines)
    elif line == lines:
        cart.item[line], cart.quantity[line] = item, 0
        cart.lines[0] += 1
    cart.quantity[line] += pieces
    return int(cart.item[line])


@njit(cache=True)
def _taken(cart: Cart, random: NDArray[np.uint64]) -> tuple[int, int]:
    """Remove a line from the cart; return its item and quantity."""
    line = int(uniform(random) * cart.lines[0])
    item, pieces = int(cart.item[line]), int(cart.quantity[line])
    cart.lines[0] -= 1
    last = cart.lines[0]
    cart.item[line], cart.quantity[line] = cart.item[last], cart.quantity[last]
    return item, pieces


@njit(cache=True)
def _listed(cart: Cart, prices: NDArray[np.int64], out: Decoration, at: int) -> tuple[int, int]:
    """Write the cart's lines from ``at`` on; return pieces and cents."""
    pieces = cents = 0
    for line in range(cart.lines[0]):
        out.line_item[at + line], out.line_quantity[at + line] = cart.item[line], cart.quantity[line]
        pieces += cart.quantity[line]
        cents += cart.quantity[line] * prices[cart.item[line]]
    return pieces, cents
