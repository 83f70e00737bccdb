"""The first screen: the numbers of the last days beside those before, and what chapters found worth acting on.

`cards` counts; findings and leading pictures come from the chapters themselves (`offline.report.opening`).
"""

__all__: list[str] = []
