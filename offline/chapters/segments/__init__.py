"""Segments: groups of customers (or of a table's rows) that resemble each other, and what they are worth.

`offline.training.segmentation` finds the segments that travel in a bundle and are assigned in the stream; this
package is for people: it compares ways of dividing, shows what the groups are like, what they bring, and who moves
between them.
"""

__all__: list[str] = []
