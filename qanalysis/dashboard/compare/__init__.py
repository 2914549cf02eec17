"""Page Compare: two models, tensor by tensor, or two results, row by row."""
