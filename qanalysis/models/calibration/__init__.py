"""On which data is a model measured? Samples, in batches, with targets where there are some."""
