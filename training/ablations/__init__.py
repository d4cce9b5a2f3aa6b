"""Ablations: what each part of a method is worth, measured by training packs with and without it."""
