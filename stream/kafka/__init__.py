"""Kafka, whole record batches at a time: the only room that knows the insides of aiokafka and Faust.

`transport` puts a batched consumer under Faust, `fetching` runs it in a thread of its own, `batches` are what it hands
over, and `contract` says what it expects of the owner of the partitions. `parsing` takes batches apart whatever is in
them, and `unreadable` is what it says of a record that it could not read. `reading` reads a topic from beginning to end
without a group, `topics` makes topics, `broker` asks whether one answers, and `records` knows headers and keys.
"""
