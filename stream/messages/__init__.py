"""What others read: scores, alerts and dead letters, and the AsyncAPI document that publishes them.

A module for each message, its type and its encoding; nothing here reads or writes a topic. Besides the standard library
and `features.events` only msgspec is imported, so that any client can afford it.
"""
