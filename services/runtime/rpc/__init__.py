"""gRPC servers and clients: interceptor, errors, context."""
