"""A look at everything that workers and the learner need: what is good, what is not, and what to do about it.

`finding` is what a look says. `kafka_checks` looks at brokers, topics and consumer groups, `redis_checks` at Redis,
`machine_checks` at settings, bundle and disk. `checkup` makes all of them, for `intent doctor`. Nothing is changed.
"""
