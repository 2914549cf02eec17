"""Weights that a quantizer packed: one file per layout, all of them read as one tensor of decoded values."""
