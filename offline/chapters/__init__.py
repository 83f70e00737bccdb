"""The chapters of a report, a folder each, and what holds them together.

`stages` names them in order, `workspace` carries what they hand to each other. A chapter turns what `offline.lab`,
`offline.preparation` and `offline.training` find out into sentences, tables and pictures of `offline.report`; it never
imports another chapter, but for `segments`, whose names all may use.
"""
