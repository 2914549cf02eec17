"""Page Converter: textbook, simulation, captured records."""
