"""The whole system on real servers under random faults, and an exact account at the end: ``make chaos``."""
