"""Where customers' states live: what a store is (`customer_store`), Redis, and the names of its keys.

`features` is pure but for this folder: the only one that speaks to a server.
"""
