"""Checkpoints as sources of tensors, whatever their format: see `catalogue` for the kinds, `source` for what all are."""
