"""Which executor reads which format, and how exactly, as a Markdown table: what `docs/formats.md` is made of."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import chain

from PIL import Image, ImageOps, features

from fovea_pipelines import other_formats, reference
from fovea_pipelines.contract import Contract
from fovea_pipelines.parity import measures
from fovea_pipelines.parity.comparison import Outcome, Refused
from fovea_pipelines.parity.corpus import Specimen, generated
from fovea_pipelines.parity.encodings import exif_of, oriented, rgb_16, saved
from fovea_pipelines.parity.executors import DaliCpu
from fovea_pipelines.parity.scenes import scene

# As far as anybody reads it who refuses it; to write one takes the extra [formats].
_HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


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
    for name, content in chain(_variants(), _beyond()):
        yield Specimen(name, (name,), content)


def _variants() -> Iterator[tuple[str, bytes]]:
    """Of kinds that have more than one form."""
    picture = scene(300, 225, 1)
    for form in ("jpeg", "png", "webp"):
        yield f"{form}, orientation 6", oriented(picture, 6, form.upper())
    yield "png, 16-bit rgb", rgb_16(picture)


def _beyond() -> Iterator[tuple[str, bytes]]:
    picture, second = scene(300, 225, 1), scene(300, 225, 2)
    animated = {"save_all": True, "append_images": [second]}
    yield "gif", saved(picture, "GIF")
    yield "gif, animated", saved(picture, "GIF", **animated)
    yield "png, animated", saved(picture, "PNG", **animated)
    yield "webp, animated", saved(picture, "WEBP", **animated)
    yield "tiff", saved(picture, "TIFF")
    yield "heic", _HEIC
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


def on_request(contract: Contract) -> str:
    """The formats of `fovea serve --formats`: converted and served, against the reference on Pillow's own pixels."""
    served = DaliCpu(contract)
    lines = ["| format | served with `--formats` |", "| --- | --- |"]
    for name, form, encoded, turned in _converted():
        png = io.BytesIO()
        other_formats.to_png(encoded, form, max_pixels=1_000_000, file=png)
        (pixels,) = served([png.getvalue()])
        if isinstance(pixels, Exception):
            raise pixels
        apart = measures.pixel_difference(reference.pixels(saved(turned, "PNG"), contract), pixels)
        lines.append(f"| {name} | mean {apart.mean:.2f}, max {apart.maximum:.0f} |")
    return "\n".join(lines) + "\n"


def _converted() -> Iterator[tuple[str, str, bytes, Image.Image]]:
    """Name, format, the encoded image, and the upright picture that Pillow makes of it."""
    picture, second = scene(300, 225, 1), scene(300, 225, 2)
    yield from _as_pillow_sees("gif", "gif", saved(picture, "GIF"))
    animated = saved(picture, "GIF", save_all=True, append_images=[second])
    yield from _as_pillow_sees("gif, animated: the first picture", "gif", animated)
    for name, image in {"": picture, ", grey": picture.convert("L"), ", palette": picture.quantize(16)}.items():
        yield from _as_pillow_sees(f"tiff{name}", "tiff", saved(image, "TIFF", compression="tiff_lzw"))
    yield from _as_pillow_sees("tiff, cmyk", "tiff", saved(picture.convert("CMYK"), "TIFF"))
    yield from _as_pillow_sees("tiff, orientation 6", "tiff", saved(picture, "TIFF", exif=exif_of(6)))
    yield from _as_pillow_sees("avif", "avif", saved(picture, "AVIF", quality=90))
    import pillow_heif  # of the extra [formats]

    heic = io.BytesIO()
    pillow_heif.encode("RGB", picture.size, picture.tobytes(), heic, quality=90)
    yield "heic", "heic", heic.getvalue(), pillow_heif.open_heif(heic).to_pillow()
    turned = io.BytesIO()
    pillow_heif.encode("RGB", picture.size, picture.tobytes(), turned, quality=90, exif=exif_of(6).tobytes())
    yield "heic, orientation 6", "heic", turned.getvalue(), pillow_heif.open_heif(turned).to_pillow()


def _as_pillow_sees(name: str, form: str, encoded: bytes) -> Iterator[tuple[str, str, bytes, Image.Image]]:
    yield name, form, encoded, ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB")
