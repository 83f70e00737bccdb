"""The report of the offline lab: what every stage found, on one page that opens without a network.

Each stage returns an `offline.report.section.Section`; this package knows nothing of what is inside them, only how
to run the stages and to show what they found.
"""

__all__: list[str] = []
