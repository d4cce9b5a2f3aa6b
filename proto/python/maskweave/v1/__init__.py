"""Version 1 of the contract: `synthesis_pb2` (messages) and `synthesis_pb2_grpc` (service)."""
