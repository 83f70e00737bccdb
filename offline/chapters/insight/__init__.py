"""Insight: what drives conversion, what a contact is worth, and who the valuable customers are.

The model here explains and prices; which model predicts best is the business of the comparison of models.
"""

__all__: list[str] = []
