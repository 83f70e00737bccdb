"""From topic to file and back: `archive` makes an event log of a topic, `replay` sends one, `pacing` says when.

At full speed that is as soon as `workers` have handed over what the next of the `windows` depends on (`lead`).

Dead letters are here too: `letters` reads them, `resend` sends them to the events topic again.
"""
