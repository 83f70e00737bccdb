"""The part of a shop that tells what its customers do."""

from __future__ import annotations

from stream import EventEmitter


class Tracking:
    """Emits what happens in the shop."""

    def __init__(self, emitter: EventEmitter) -> None:
        self._emitter = emitter

    def viewed(self, customer: str, item: str, price: float) -> None:
        self._emitter.emit(type="view_item", customer_id=customer, item_id=item, price=price)

    def put_into_cart(self, customer: str, item: str, price: float) -> None:
        self._emitter.emit(type="add_to_cart", customer_id=customer, item_id=item, price=price, quantity=1)

    def began_checkout(self, customer: str) -> None:
        self._emitter.emit(type="begin_checkout", customer_id=customer)

    def logged_in(self, visitor: str, customer: str) -> None:
        self._emitter.identify(visitor, customer)
