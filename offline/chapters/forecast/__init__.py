"""Forecast: orders and revenue of the coming days or weeks, with intervals, and how far to trust them."""

__all__: list[str] = []
