"""Products: what sells, what sells together, what comes back, and when customers order again.

`offline.chapters.products.section` is the stage of the report; `lines` reads the lines of orders that the looks count.
"""

__all__: list[str] = []
