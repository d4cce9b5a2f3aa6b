"""What the gateway could be replaced with: other servers around the same graphs, measured in turn with it."""
