"""Networks on tables: their inputs, architectures and training, behind scikit-learn's interface.

Unlike `offline.training.network`, which trains the stream's network on millions of events and exports it, these are for
tables and comparisons: categories have embeddings, numbers may have, and one network may be many.
"""

from offline.lab.networks.classifier import NetworkClassifier
from offline.lab.networks.distilled import DistilledNetwork
from offline.lab.networks.inputs import NetworkInputs

__all__ = ["DistilledNetwork", "NetworkClassifier", "NetworkInputs"]
