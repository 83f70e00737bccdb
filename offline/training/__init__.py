"""Training of what the stream runs: network, calibration and segments, and the models beside which they are judged.

`train` is the whole of it, from a log or examples to a bundle. Models of the lab, which never leave a report, are in
`offline.lab`.
"""
