"""The chapter "Models".

Which model predicts best, by how much, and is that more than chance?
"""
