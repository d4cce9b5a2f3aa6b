"""Training loops, one module a stage; all run by `training.runs.train`."""
