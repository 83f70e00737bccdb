"""The stream learns: from scored events and what happened after them to an online model.

::

    scorer ──► examples ──┐
      │                   ├─► waiting (held back until the label is known) ──► online learner ──► snapshot ──► scorers
      └──────► outcomes ──┘                                                        └──► live quality, drift, alerts

`stream.scoring.recorder` writes `examples` and `outcomes` as the scorer sees them, and `records` is their form;
`labels` holds examples back until their label is known; `model` is what learns, and what scorers ask of it; `judging`
measures it, predicting first and learning then. `learning` puts these together without Kafka, Redis and the clock,
`topic_buffers` and `snapshot_store` connect it to both, and `newest_advisor` brings what was learned to the scorers.
What is learned depends on event time and on the data alone: never on the clock, nor on how records arrive.
"""
