"""The only door to tritonserver: finding, starting, watching and asking it."""
