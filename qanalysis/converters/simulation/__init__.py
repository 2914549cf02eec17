"""A converter simulated with its error sources, and what its noise model says."""
