"""The binary records of the examples and outcomes topics, and their header."""
