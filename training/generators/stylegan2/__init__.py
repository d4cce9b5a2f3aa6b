"""StyleGAN2 for inference, by our own code: mapping, synthesis, and the cut between head and tail."""
