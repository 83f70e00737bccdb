"""Everything that runs while events flow.

The Kafka transport under Faust, the scorer and its ownership of partitions, the learner, decisions, dead letters, the
emitter for shops, the watcher for marketing, replay, the HTTP service, the embedded development services and
the command line.

What is known about a customer, and how an event changes it, is not here but in ``features``, which knows
neither Kafka nor Faust. What runs on a log or a table is in ``offline``. ``stream`` meets ``offline`` only in
the bundle, and in the command line, which imports each lazily.
"""

__all__: list[str] = []
