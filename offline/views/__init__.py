"""A log as chapters look at it.

`log_view` has one row per event, `net_orders` one order per basket, net of what came back.
"""
