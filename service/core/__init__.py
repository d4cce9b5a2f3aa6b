"""What every layer of the service stands on: settings, limits, errors, metrics, logging."""
