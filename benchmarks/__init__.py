"""Measures services through the client, as a caller would see them."""
