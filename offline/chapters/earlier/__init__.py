"""What changed since an earlier report.

`reference` says what a report keeps for later ones, `section` compares a report with what an earlier one kept.
"""

__all__: list[str] = []
