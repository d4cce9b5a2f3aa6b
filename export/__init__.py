"""Turns a trained pack into the models that a server runs: ONNX graphs in a Triton model repository."""
