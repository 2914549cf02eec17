"""What does quantizing a whole model cost and save? Weights, activations or both, at several widths, side by side."""
