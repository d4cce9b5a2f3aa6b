"""TensorRT plans: built on the machine that serves them, and refused on any other.

The modules `manifest`, `machine` and `check` import the standard library alone, so that a server's container
needs these files and no package.
"""
