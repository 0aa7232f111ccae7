"""Experiments: declared, assigned, watched, and ended with a verdict."""
