"""Puts the service together: engine, gRPC server with health and reflection, HTTP port, start and stop."""
