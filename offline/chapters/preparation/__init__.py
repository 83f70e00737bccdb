"""The chapter "Preparation": what is missing, doubled, outlying or skewed, and what is done about it."""
