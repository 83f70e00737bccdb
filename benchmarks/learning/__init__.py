"""What learning online brings: on real orders replayed in event time, and through two sales of the simulated shop.

``python -m benchmarks.learning`` (``make bench-learning``). `benchmarks.learning.drift` plays simulated sales, for
which the best possible score is known exactly, through the learner's own code; `benchmarks.learning.retail` does the
same with Online Retail; `benchmarks.learning.picture` draws the result.
"""

__all__: list[str] = []
