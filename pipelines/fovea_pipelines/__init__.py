"""Pixels and models: the preprocessing contract, its executors, and the builders of model artefacts."""
