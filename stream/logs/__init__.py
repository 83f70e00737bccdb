"""From topic to file and back: `archive` makes an event log of a topic, `replay` sends one, `pacing` says when.

Dead letters are here too: `letters` reads them, `resend` sends them to the events topic again.
"""
