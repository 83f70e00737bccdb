"""A budget of contacts: whom to take, how many of them will buy, and what a simple rule would have chosen.

`offline.chapters.budget.section` is the stage of the report; `moments` says what is known of every customer at a
moment, `trial` makes lists at past moments and counts who bought.
"""

__all__: list[str] = []
