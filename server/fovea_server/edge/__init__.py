"""The wire: bytes and headers to nouns and back, over REST and gRPC."""
