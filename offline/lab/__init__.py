"""The laboratory's models: compared on the same folds, their columns selected, their settings searched.

Everything works on an `offline.problems.problem.Problem` and makes nothing that the stream runs; the stream's models
are trained by `offline.training.train`. Every choice is made inside training rows.
"""
