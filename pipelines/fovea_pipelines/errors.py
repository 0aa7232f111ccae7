"""What can go wrong before a model serves: a bad package, an artefact that is missing, weights not to be trusted."""


class PipelineError(Exception):
    """A failure whose message is one sentence for the person who reads it; `hint` says what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class BadContract(PipelineError):
    """A preprocessing contract that contradicts itself, or asks for what no executor does."""


class BadPackage(PipelineError):
    """A `model.toml` that is missing, unreadable or inconsistent."""


class BadWeights(PipelineError):
    """A weights file that is damaged, is not the one expected, or would run code when loaded."""


class BadNetwork(PipelineError):
    """A network that cannot be served as it is."""


class MissingArtefact(PipelineError):
    """A file that has to be built or installed before the model can serve."""


class NoGpu(PipelineError):
    """No GPU that can be used: none there, its driver too old, its memory full, or what it needs not installed."""
