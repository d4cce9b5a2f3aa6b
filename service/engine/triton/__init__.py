"""The Triton engine: models run by NVIDIA Triton inference servers, over gRPC."""
