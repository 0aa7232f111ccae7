"""Which executor reads which format, and how exactly, as a Markdown table: what `docs/formats.md` is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from PIL import features

from fovea_pipelines.parity.comparison import Outcome, Refused
from fovea_pipelines.parity.corpus import Specimen, generated
from fovea_pipelines.parity.encodings import saved
from fovea_pipelines.parity.scenes import scene


def specimens() -> Iterator[Specimen]:
    """The first generated image of each kind, and formats beyond those served; each is its own only kind."""
    seen: set[str] = set()
    for specimen in generated():
        _, kind, *_ = specimen.kinds
        form = specimen.name.rpartition(".")[2]
        name = form if kind == form or kind.startswith("orientation") else f"{form}, {kind}"
        if name not in seen:
            seen.add(name)
            yield Specimen(name, (name,), specimen.content)
    for name, content in _beyond():
        yield Specimen(name, (name,), content)


def _beyond() -> Iterator[tuple[str, bytes]]:
    picture, second = scene(300, 225, 1), scene(300, 225, 2)
    animated = {"save_all": True, "append_images": [second]}
    yield "gif", saved(picture, "GIF")
    yield "gif, animated", saved(picture, "GIF", **animated)
    yield "png, animated", saved(picture, "PNG", **animated)
    yield "webp, animated", saved(picture, "WEBP", **animated)
    yield "tiff", saved(picture, "TIFF")
    for name, form, codec in (("avif", "AVIF", "avif"), ("jpeg 2000", "JPEG2000", "jpg_2000")):
        if _writes(codec):
            yield name, saved(picture, form)


def _writes(codec: str) -> bool:
    return bool(features.check(codec))


def markdown(outcomes: Iterable[Outcome]) -> str:
    """A row for each image, a column for the reference and for each executor."""
    rows: dict[str, dict[str, str]] = {}
    for outcome in outcomes:
        cells = rows.setdefault(outcome.specimen.name, {"reference": "reads"})
        if isinstance(outcome, Refused):
            cells["reference"] = "refuses" if outcome.by_reference else "reads"
            cells[outcome.executor] = f"refuses: {outcome.by_executor}" if outcome.by_executor else "reads"
        else:
            cells[outcome.executor] = f"mean {outcome.pixels.mean:.2f}, max {outcome.pixels.maximum:.0f}"
    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    lines = [f"| format | {' | '.join(columns)} |", f"|{' --- |' * (len(columns) + 1)}"]
    lines += [f"| {name} | {' | '.join(cells.get(column, '') for column in columns)} |" for name, cells in rows.items()]
    return "\n".join(lines) + "\n"
