"""Which model runs, with which data, and how good is it?"""
