"""The same calls over HTTP/1.1, for browsers and curl: Connect, gRPC-Web and, for sessions, WebSocket."""
