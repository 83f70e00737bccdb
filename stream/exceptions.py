"""Errors of the running system that a user can cause, or can mend.

::

    features.exceptions.IntentError
    ├── SettingsError         a setting has a value that cannot be used
    ├── ServiceError          an embedded server cannot be had, or does not start
    └── BrokerError           Kafka refused what was asked of it
        ├── BrokerUnavailable   no broker answers
        └── TopicMismatch       a topic exists, but not as it has to be

Every message says what was wrong, with which value, and what to do; the command line prints it as one line.
"""

from features.exceptions import IntentError


class SettingsError(IntentError):
    """A setting has a value that cannot be used."""


class ServiceError(IntentError):
    """An embedded server cannot be had on this machine, or does not start."""


class BrokerError(IntentError):
    """Kafka refused what was asked of it."""


class BrokerUnavailable(BrokerError):
    """No broker answers at the address."""


class TopicMismatch(BrokerError):
    """A topic exists, but with another partition count than the settings name."""
