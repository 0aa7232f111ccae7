"""Whether the served pixels are the training pixels: a corpus, the measures, the gate, and what went wrong."""
