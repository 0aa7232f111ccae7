"""The names of the models that one image is asked of: what every server would take for just these names."""

from __future__ import annotations

from collections.abc import Iterable


def checked(models: Iterable[str]) -> tuple[str, ...]:
    """The names, in the order of asking; whether such models are served is for the server to say.

    Raises TypeError for one bare name, whose letters could be taken for names, and ValueError for a name with a comma
    in it, which over REST would be two.
    """
    if isinstance(models, str):
        raise TypeError(f"models is {models!r}; it must be a list of names, like [{models!r}]")
    names = tuple(models)
    for name in names:
        if "," in name:
            raise ValueError(f"the model name {name!r} has a comma in it")
    return names
