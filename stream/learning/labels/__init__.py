"""When an example gets its label, and which one.

Examples wait until the watermark has passed their horizon (`waiting`), with the outcomes that they can need
(`buffered`); `labelling` decides, `minibatches` cuts what is released, and `cursors` remember how far both topics were
read.
"""
