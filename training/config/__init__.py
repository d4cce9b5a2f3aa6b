"""What packs of both methods are made of: sections of their configuration, palettes, weights."""
