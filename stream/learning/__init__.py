"""The stream learns: from scored events and what happened after them to an online model.

::

    scorer ──► examples ──┐
      │                   ├─► waiting (held back until the label is known) ──► online learner ──► snapshot ──► scorers
      └──────► outcomes ──┘                                                        └──► live quality, drift, alerts

`recorder` writes `examples` and `outcomes` as the scorer sees them; `waiting` holds examples back and labels them; the
learner predicts first and learns then. What is learned depends on event time and on the data alone: never on the clock,
nor on how records arrive. What is known about a customer is in ``features``; what moves records is in ``stream``.
"""

__all__: list[str] = []
