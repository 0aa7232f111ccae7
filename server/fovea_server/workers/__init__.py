"""Several gateway processes for one server: the first owns Triton and says what there is, the others follow it."""
