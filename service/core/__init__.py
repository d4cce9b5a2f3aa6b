"""What every layer of the service stands on: limits, errors, metrics, logging."""
