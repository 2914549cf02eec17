"""How does one network train quantized? Quantizers in their places, the steps of a run, what is told of them."""
