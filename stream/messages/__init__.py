"""What others read: scores, alerts and dead letters, and the AsyncAPI document that publishes them.

Imports msgspec only, so that any client can afford it.
"""
