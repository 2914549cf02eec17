"""Checkpoints as sources of tensors: see `catalogue` for the kinds of files, `source` for what all of them give."""
