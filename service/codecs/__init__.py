"""Bytes to arrays and back: label maps and images, in and out. Knows nothing of models or gRPC."""
