"""The report of the offline lab: what every stage found, on one page that opens without a network.

Each chapter returns an `offline.report.section.Section`. This package knows nothing of what is inside a section, only
how to show it: `html` and `tables` prepare what the templates in ``templates/`` take, `pages` writes the files.
"""

__all__: list[str] = []
