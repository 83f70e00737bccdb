"""The page of `intent uplift`."""
