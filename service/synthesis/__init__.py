"""What a request means: models, conditions, starts and pictures in terms of the engine's tensors."""
