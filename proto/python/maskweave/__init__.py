"""The public contract of Maskweave, as generated from `proto/`."""
