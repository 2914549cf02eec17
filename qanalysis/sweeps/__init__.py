"""Quantizers swept over checkpoints: pieces of a tensor in, one row per tensor and scheme out."""
