"""Which model runs here, whatever it is written in? It is held once; layers are changed in place and put back."""
