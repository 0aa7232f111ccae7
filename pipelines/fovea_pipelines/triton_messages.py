"""How the models that run inside Triton begin their errors, for whoever reads them on the other side."""

UNDECODABLE = "undecodable image: "
CANCELLED = "the caller went away before its turn"
