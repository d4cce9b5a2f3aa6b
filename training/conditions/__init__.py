"""Sketches and scribbles: drawn from label maps to train on, and read back as label maps."""
