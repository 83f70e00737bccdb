"""Preparation of columns for models that need it, learned from training rows only, and shown.

Everything here is a scikit-learn transformer, so that inside a pipeline it is fitted on the training part of every
fold. Trees take the raw columns; linear models, SVM and distances take `preparation`.
"""

from offline.preparation.balance import class_weights, correct_prior, resample
from offline.preparation.transformers import RobustClip, Unskew, preparation

__all__ = ["RobustClip", "Unskew", "class_weights", "correct_prior", "preparation", "resample"]
