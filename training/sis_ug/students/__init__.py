"""Students: small networks, taught by those that were trained first and served in their place."""
