"""Which image is made next, and for whom."""
