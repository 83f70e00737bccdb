"""For shops and marketing: `emit` sends events, `watch` follows scores.

Both import neither Faust nor numba, ONNX Runtime or pyarrow: a shop's web server can afford them.
"""
