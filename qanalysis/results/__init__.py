"""What leaves the program, whatever kind of row it holds: tables, documents, files."""
