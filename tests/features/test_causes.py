"""What errors of libraries mean is told without the names of classes."""

from __future__ import annotations

import aiokafka.errors
import kafka.errors
import pytest

from features import causes
from features.causes import cause
from features.exceptions import IntentError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer came in time"),
        (aiokafka.errors.KafkaTimeoutError(), "no answer came in time"),
        (kafka.errors.KafkaTimeoutError("Batch of 3 records"), "no answer came in time"),
        (
            aiokafka.errors.TopicAuthorizationFailedError("t"),
            "the user of INTENT_KAFKA has no permission for the topic",
        ),
        (aiokafka.errors.TopicAuthorizationFailedError("may not write to t"), "may not write to t"),
        (kafka.errors.UnsupportedVersionError("broker is too old"), "broker is too old"),
        (kafka.errors.RebalanceInProgressError(), "rebalance in progress error"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("first\nsecond"), "first"),
        (IntentError("KafkaError: written by us"), "KafkaError: written by us"),
        (KeyError("segment"), "a fault of this program (KeyError: 'segment')"),
    ],
)
def test_an_error_is_told_in_words(error: Exception, said: str) -> None:
    assert cause(error) == said


def test_no_answer_of_a_broker_is_told_with_the_name_of_its_class() -> None:
    for library in (aiokafka.errors, kafka.errors):
        kinds = [
            kind
            for kind in vars(library).values()
            if isinstance(kind, type)
            and issubclass(kind, library.BrokerResponseError)
            and isinstance(getattr(kind, "errno", None), int)
        ]
        assert len(kinds) > 30
        for kind in kinds:
            for error in (kind(), kind("why")):
                assert kind.__name__ not in cause(error)


def test_the_names_of_kafkas_errors_are_those_of_its_libraries() -> None:
    ours = {name for name in causes._CAUSES if "Kafka" in name or "Coordinator" in name or "Topic" in name}
    assert ours <= {*vars(aiokafka.errors), *vars(kafka.errors)}
