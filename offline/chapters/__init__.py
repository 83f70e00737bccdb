"""The chapters of a report, a folder each, and what holds them together.

`stages` names them in order, `workspace` carries the input, `handover` what they leave to each other. A chapter turns
what `offline.lab`, `offline.preparation` and `offline.training` find out into sentences, tables and pictures of
`offline.report`; it never imports another chapter, except `segments`, whose names all may use.
"""
