"""What is known about a customer, and how an event changes it.

This package is pure: no Kafka, no Faust, no clock. An event (`events`, `columns`) is judged against the watermark
(`watermark`), folded into its customer's state (`state`, `fold`), and the state is turned into the model's input
(`vector`), which a bundle of models (`bundle`) scores. `labels` says what happened afterwards, `log` holds events as
Parquet, and `store` keeps states in Redis or in memory. The stream, replay and training use the same functions, so
a feature cannot mean two things.

`stream` runs all this while events flow; `offline` runs it on a log.
"""

from features.compiled import use_own_cache

use_own_cache()
