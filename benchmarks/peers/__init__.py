"""The same job in other frameworks, each as its documentation shows it.

The job: decode an event, keep what is known about its customer, score by the same ONNX network, produce a
score of the same form. `benchmarks.peers.job` has the part that does not depend on the framework.

Unlike our worker, the peers keep a plain dict of two dozen counters for a customer instead of the 1.4 kB
state, fill as many of the network's inputs as those yield, assign no segment, check no key and refuse
nothing. That makes them quicker than the whole job would be; `features.fold`, made for batches, would
cost them more than the dict when called for one event at a time.

Each module is a program; `benchmarks.throughput` starts it with the environment that `Task` reads.

The folder ``java`` has the job once more: in Kafka Streams, in Flink, and by hand. `benchmarks.peers.jvm` builds them.
`benchmarks.peers.checking` compares what all of them write with what `benchmarks.peers.job` makes of the same events.
"""

from benchmarks.peers.job import Task

__all__ = ["Task"]
