"""What the gateway and the models that run inside Triton tell each other besides tensors: how errors begin, and the
names of the parameters that say until when an answer is wanted, and where to look whether it still is."""

UNDECODABLE = "undecodable image: "
PREPROCESSING = "preprocessing failed: "
CANCELLED = "the caller went away before its turn"
LATE = "the deadline passed before its turn"
DEADLINE = "deadline_ns"  # nanoseconds of CLOCK_MONOTONIC, which every process of one machine shares
TICKET = "ticket"  # of withdrawn.py
PIXELS_TOO = "pixels"  # whether the pixels that the network saw are wanted
