"""What a request means: models, conditions, latents and images in terms of the engine's tensors."""
