"""A converter is a uniform quantizer with a fixed range:
textbook answers, simulated converters, captured records analysed.
"""
