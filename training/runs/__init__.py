"""Runs of training, whatever is trained: steps, distribution over processes, checkpoints, metrics, memory."""
