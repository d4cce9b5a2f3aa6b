"""Frozen, pretrained unconditional generators behind one interface."""
