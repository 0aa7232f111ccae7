"""Scripts that measure; each runs alone with `python -m benchmarks.<name> --help`, from the checkout's root."""
