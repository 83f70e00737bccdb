"""The chapter "Feature selection".

Which columns do models need, and why?
"""
