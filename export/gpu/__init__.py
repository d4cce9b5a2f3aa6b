"""What a GPU makes of the models, measured in one go: `python -m export.gpu`."""
