"""For shops and marketing: `emit` sends events, `watch` follows scores, `actions` what is to be done.

They import neither Faust nor numba, ONNX Runtime or pyarrow: a shop's web server can afford them.
"""
