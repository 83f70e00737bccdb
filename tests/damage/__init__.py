"""Good files, damaged in many ways, and every command that reads files on each of them.

`python -m tests.damage` runs the whole matrix; the test takes a part of it that is quick.
"""
