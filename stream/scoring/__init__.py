"""From a batch of records to scores: `scorer` is the main path, every step of it a module.

`intake` decodes and checks, `engine` folds and scores, `recommending` adds items, `encoding` writes scores, `recorder`
writes what the learner needs, `publisher` sends all of it. `score_log` scores a log without Kafka and Redis.
"""
