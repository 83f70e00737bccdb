"""What the live page shows: the newest scores and actions put together, while somebody looks.

``view`` is what is known, pure and synchronous; ``reader`` feeds it from Kafka; ``shown`` is the contract of
``GET /v1/live``. The page itself, HTML, CSS and JavaScript, is in ``stream/serving/page``.
"""
