"""A captured record from a file: its samples, its codes, its rate."""
