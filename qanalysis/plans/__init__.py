"""Plans: from a table of errors to the scheme of each tensor, and to the words of the back end that obeys it."""
