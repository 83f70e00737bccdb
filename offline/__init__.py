"""Jobs that run offline, on an event log or on a table: loaders, simulator, training, reports.

Nothing here runs while events flow; what the stream needs from it travels in a bundle. Features, labels and the fold
come from `features`, so that training sees exactly what the scorer sees. This package itself offers no names: import
from its modules, which the command line does for you (``intent train``, ``intent report``).

===========================  ==========================================================================================
`datasets`                   files of shops and public data sets, made into an event log
`simulator`                  customers whose true probability to buy is known
`examples`                   labelled examples made from a log, in memory or in buckets on disk
`training`                   segmenter, network, calibration and baselines, evaluated and written as a bundle
`problems`, `views`          a table or a log as the lab sees it: columns and target, customers and orders
`preparation`                missing values, outliers and scales, fitted on training rows alone
`report`                     sections, tables, pictures and pages
`lab`                        models to compare, folds, figures, statistics
`chapters`                   one folder for each chapter of ``intent report``
`progress`, `exceptions`     what a job tells of its progress; errors that a user can cause
===========================  ==========================================================================================

In this order: whoever stands below may import what stands above, never the other way round.
"""

__all__: list[str] = []
