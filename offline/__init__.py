"""Jobs that run offline, on an event log or a table: loaders, simulator, exact oracle, training, evaluation.

Nothing here runs while events flow; what the stream needs from it travels in a bundle. Features, labels and
the fold come from `features`, so that training sees exactly what the scorer sees.
"""
