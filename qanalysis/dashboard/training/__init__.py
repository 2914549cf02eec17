"""Page Training lab: networks trained quantized, live, and every move of a quantizer explained."""
