"""The HTTP service: what is known about customers, asked for instead of waited for.

`lookups` and `what_if` answer from the states in Redis by the code that scores the stream; `events` takes events and
erasures for Kafka; `feed` passes scores and actions on as they come. `gate` stands before all of them: keys, limits,
errors. `app` puts them together, `service` runs them.
"""
