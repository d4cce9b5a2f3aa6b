"""Bytes to arrays and back: label maps in, pictures out. Knows nothing of models or gRPC."""
