"""Bytes to arrays and back: label maps in, images out. Knows nothing of models or gRPC."""
