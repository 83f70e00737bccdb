"""What marketing is to do, and when: a policy that people write, read strictly, and applied to scored events.

Everything here is a function of the policy, of events and of what is remembered about customers; it knows no Kafka, no
Redis and no wall clock. `policy` and `reading` are the file, `conditions` and `rulebook` what it means for one bundle,
`holdout` who is left alone. `decide` turns scored events into actions, with `memory`, `caps`, `quiet`, `timers` and
`triggers` beneath it.
"""
