"""Wire messages to the service's own types, and back."""
