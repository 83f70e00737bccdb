"""The chapter "Tuning".

Would other settings be better?
"""
