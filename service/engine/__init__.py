"""Runs named models on arrays; knows nothing of images, conditions or gRPC."""
