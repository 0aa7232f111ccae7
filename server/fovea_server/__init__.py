"""The gateway in front of Triton, the supervisor that keeps Triton running, and the command line."""
