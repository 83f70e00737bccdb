"""Exploration: what a log or a table looks like before anything is modelled.

Each module looks at one thing and returns `offline.chapters.exploration.findings.Findings`: sentences, tables and
pictures, figures. `offline.chapters.exploration.section` puts them together.
"""

__all__: list[str] = []
