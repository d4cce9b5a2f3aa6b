"""Training loops of the students, one a module."""
