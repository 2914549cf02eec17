"""What is asked for, as text, and the grid it becomes: schemes, number formats, groupings, range rules, scales,
rounding.
"""
