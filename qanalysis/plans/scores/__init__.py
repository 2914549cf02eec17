"""One file per kind of imported scores: what other tools measured of the tensors."""
