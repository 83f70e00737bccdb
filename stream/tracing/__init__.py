"""Tracing: which rounds are traced, and how their spans reach a collector (OpenTelemetry, off unless asked for).

`trace` is what everything else sees and costs nothing. `spans` and `links` import OpenTelemetry, which is in the extra
`tracing`; they are imported only where `INTENT_TRACING` asks for it. `headers` knows how a record carries the trace in
which it was emitted, and imports nothing: shops use it.
"""
