"""Page Compare: two sources or two tables, tensor by tensor."""
