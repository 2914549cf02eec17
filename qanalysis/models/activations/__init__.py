"""What runs through the layers? Ranges, moments and outliers of activations, streamed."""
