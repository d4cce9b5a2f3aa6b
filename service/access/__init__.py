"""Who may use the service and how much: API keys, quotas, and the caller's address behind a proxy."""
