"""What the gateway and the models that run inside Triton tell each other besides tensors: how errors begin, and the
name of the parameter that says until when an answer is wanted."""

UNDECODABLE = "undecodable image: "
CANCELLED = "the caller went away before its turn"
LATE = "the deadline passed before its turn"
DEADLINE = "deadline_ns"  # nanoseconds of CLOCK_MONOTONIC, which every process of one machine shares
