"""SIS-UG's training loops, one module a stage; all run by `training.runs.loop.loop.train`."""
