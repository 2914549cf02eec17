"""What does an export of an instrument, a logger or firmware say? Its cells, rows and headers as numbers and facts."""
