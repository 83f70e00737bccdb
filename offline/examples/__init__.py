"""Training examples of an event log: the fold of the stream, and the label of what happened afterwards.

`examples` holds a whole log in memory, `buckets` builds the same examples of a log that is larger, `sampling` takes all
events of some customers.
"""
