"""Photographs in place of samples: the inverter, its refinement, and edits."""
