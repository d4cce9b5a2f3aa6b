"""Checks requests: everything that can be checked without decoding a byte, in one place."""
