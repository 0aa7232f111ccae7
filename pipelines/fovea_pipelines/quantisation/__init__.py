"""A network in 8-bit integers: measured ranges, and the graph that is made of them."""
