"""A made-up shop whose exact probability of a purchase is known.

`shop` has its parameters (`default`: those of the documentation), `process` and `drawing` draw customers and events,
`decoration` gives events their details, `simulation` makes the log, and `oracle` computes the exact probability, by
`exact_filter`.
"""
