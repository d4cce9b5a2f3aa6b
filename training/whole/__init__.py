"""Whole packs: their data, then every stage that they have, in the order of their needs."""
