"""Which layer hurts? What the quantization of each does to the output of the model, and how sure that is."""
