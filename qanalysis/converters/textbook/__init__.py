"""The textbook's answers for a converter, with the working, its codes and their words."""
