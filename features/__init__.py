"""What is known about a customer, and how an event changes it.

This package is pure: no Kafka, no Faust, no clock, and Redis only in `features.store`. The stream, replay and training
use the same functions, so a feature cannot mean two things. `stream` runs all this while events flow, `offline` runs it
on a log; neither is imported here. This package itself offers no names: import from its modules.

===============  =================================================================================================
`events`         the event schema, its limits, and decoding of batches
`columns`        a batch of events as arrays
`partition`      Kafka's partition of a customer
`calendar`       local time without a clock
`watermark`      which events of a batch are too late
`state`, `fold`  the state of a customer, and how an event changes it
`vector`         the model's input, made from a state
`labels`         what happened within the horizon after an event
`segments`       which segment of customers a vector belongs to
`bundle`         a trained bundle of models, which scores vectors
`blocks`         graphs on rows, with the same bits whatever the batch
`explainer`      the effect of every column on what the network says
`reasons`        which columns mean the same, and what a reason says in words
`phrases`        which of several phrases is said of a vector, and how it reads
`reference`      the distribution of the training data, to notice drift
`offers`         what marketing may offer
`log`            events as Parquet
`durations`      durations as text
`store`          states and offers in Redis; states also in memory
`compiled`       numba, with a cache folder for every version of the sources
`exceptions`     errors that a user can cause, or can mend
===============  =================================================================================================
"""
