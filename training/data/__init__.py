"""Training and evaluation data, made by commands and never committed."""
