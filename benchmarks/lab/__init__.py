"""Protocols of ``make bench-models``: which rows of a public data set are trained and tested on."""
