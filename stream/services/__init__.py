"""A real Kafka and a real Redis for development.

`services` decides between external servers, containers and embedded ones; `embedded` starts servers that need nothing
but Python, each as a `process`.
"""
