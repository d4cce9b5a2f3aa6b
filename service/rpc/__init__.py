"""The gRPC surface: proto in, proto out, failures as statuses. No mathematics."""
