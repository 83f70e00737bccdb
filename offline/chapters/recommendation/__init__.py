"""Recommendations: which items to show to a customer, tried on what customers took up later.

`offline.chapters.recommendation.section` is the stage of the report; what the stream may read is written by
`offline.chapters.recommendation.offers` in the form of `features.offers`.
"""

__all__: list[str] = []
