"""What the networks of both methods are built from."""
