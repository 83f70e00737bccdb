"""Where states and offers live: in Redis, or in this process.

The rest of `features` is pure; this folder is the only one that talks to a server. `customer_store` says what a store
of states is, and `partition_record` how far those of a partition have come. `redis_store` is the store in Redis,
`memory_store` the one in memory, and `offer_store` keeps offers beside states. `keys` names what lies where, and
`redis_client` connects every store, those of `stream` included. This package offers no names itself, so that who needs
the store in memory does not import Redis.
"""
