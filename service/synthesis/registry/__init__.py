"""What the repository offers to callers: read once at the start, checked, and looked up by name."""
