"""Results for people: one page of sections, one printer for the terminal, files of every kind and back."""
