"""Readers of other people's generators: nothing that a file brings along is ever run."""
