"""Comparisons: two sources or two tables, tensor by tensor, and a plan against the file that came out."""
