"""GroupDNet's training loops; run by `training.runs.loop.loop.train`."""
