"""State exactly once, scores at least once.

Which partitions this worker owns (`partitions`), the life of each (`owner`), and the rounds in which their batches are
worked on together (`rounds`). `log_check` finds out whether the log is still the one that was read. The work itself is
a `job.Job`; the scorer is one.
"""
