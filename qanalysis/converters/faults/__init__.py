"""One file for each kind of fault that a captured record can have."""
