"""The error of building training data bucket by bucket."""

from features.exceptions import IntentError


class BucketError(IntentError):
    """Training data cannot be built or read: no cluster, no memory, or a folder that is not what it should be."""
