"""The embedded engine: ONNX Runtime in this process, on the CPU, from a model repository on disk."""
