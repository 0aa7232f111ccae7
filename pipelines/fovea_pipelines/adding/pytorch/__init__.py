"""Networks from PyTorch, by the name of a published architecture. What imports torch, imports it here and lazily."""
