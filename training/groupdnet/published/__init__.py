"""The published shapes and checkpoints (SMIS)."""
