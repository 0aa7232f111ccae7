"""What an image costs, from what its header says: how much work it makes, in units of an ordinary photograph's.

The model is work = models x network + decode + megapixels x what a megapixel of its format takes. The numbers are
CPU milliseconds of the default model, measured on photographs of 0.01 to 12 megapixels (docs/overload.md has the
table); only their ratios matter, since how many units a second get done is measured while serving.
"""

from __future__ import annotations

from fovea_server.domain import ImageFacts

_NETWORK = 3.0
_DECODE = 2.0
# Large JPEGs are decoded at a fraction of their size; everything that is not named here is a PNG when it is decoded.
_PER_MEGAPIXEL = {"jpeg": 2.0, "webp": 12.0, "bmp": 12.0}
_PER_MEGAPIXEL_OF_PNG = 22.0
_REFERENCE = _NETWORK + _DECODE + 0.19 * _PER_MEGAPIXEL["jpeg"]  # a JPEG of 500x375, asked of one model


def units(facts: ImageFacts, models: int) -> float:
    """The work of asking `models` models about an image; never less than 1, so that units bound the number too."""
    per_megapixel = _PER_MEGAPIXEL.get(facts.format, _PER_MEGAPIXEL_OF_PNG)
    work = _NETWORK * models + _DECODE + megapixels(facts) * per_megapixel
    return max(1.0, work / _REFERENCE)


def megapixels(facts: ImageFacts) -> float:
    return facts.width * facts.height / 1e6
