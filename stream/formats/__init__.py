"""Events in the forms that shops already send: GA4, Segment, Snowplow, Shopify, CloudEvents, Confluent's frame.

`contract` says what a format is, `registry` knows them by name, `decoding` decodes records in a format for the worker.
A format translates a message into fields of events; what an event is and which of its fields are good stays with
`features.events`. The modules here import that and msgspec alone, so that shops can emit with the base install;
only `decoding`, which clients do not need, knows Kafka's records.
"""
