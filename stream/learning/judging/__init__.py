"""Whether what was published was right, and whether it still holds.

`prequential` counts the quality of what had been published, `drift` notices when customers change.
"""
