"""What will hurt in a Triton model repository, ours or a stranger's, and whether its requests really merge."""
