"""What a running gateway tells of itself, for `maskweave status`."""
