"""For the tests of shops: what they emit, scored by a real stack or in memory, as fixtures of pytest.

`plugin` is what pytest finds by itself where this package is installed with the extra ``testing``; nothing else here
is imported until a test asks for a fixture. A `stack.Stack` is a real Kafka, a real Redis and a worker: `servers` finds
or starts the first two, `worker_process` runs the third, in a `forked` process. A `memory.MemoryStack` runs the scorer
of a worker in this process. Both take `events` as shops have them, and show what came out as `results`.
"""
