"""A model that is a graph: its constants, what consumes each, and the roles and views that follow from it."""
