"""The fused loops, and the only folder that imports numba: see `uniform` for what all of them keep to, `codes` for
their numbers.
"""
