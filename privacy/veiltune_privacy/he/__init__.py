"""Encrypted sums of updates: quantisation, packing, CKKS and BFV, keys, the server's addition.

Worker processes import parts of this package, so nothing is imported here.
"""
