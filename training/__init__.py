"""Training of Maskweave's networks in PyTorch; nothing that serves imports it."""
