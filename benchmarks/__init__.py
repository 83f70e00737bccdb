"""Throughput and latency of the worker, side by side with its peers, on one broker and in one run.

``python -m benchmarks --help`` (``make bench``). `benchmarks.workload` makes the log, the topics and the
network that all contenders share; `benchmarks.throughput` runs the `benchmarks.contenders`, each a
`benchmarks.program` of its own;
`benchmarks.steps` measures what each step of our worker costs; `benchmarks.latency` measures the time from
event to score. The peers in `benchmarks.peers` do the same job in the way that their frameworks'
documentation shows.

Tests of correctness are in ``tests``; nothing here is imported by the product.
"""

__all__: list[str] = []
