"""Does the worker scale? More workers, more customers, learning, and restarts: ``python -m benchmarks.scale``.

`benchmarks.scale.rates` measures a preloaded topic (`benchmarks.throughput`): two workers against one, many customers
against few, learning on against off. `benchmarks.scale.restarts` lets a shop emit at a steady rate, ends workers, and
looks at when the broker appended the scores: what a killed worker leaves undone, and for how long a rolling restart
keeps partitions silent.
"""

__all__: list[str] = []
