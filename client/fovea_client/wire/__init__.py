"""The wire format: `vision.proto` and what the compiler makes of it (`make proto`)."""
