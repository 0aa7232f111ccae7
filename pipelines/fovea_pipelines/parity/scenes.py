"""Paint scenes that are like photographs in what a decoder and a resize find hard, from a seed and nothing else."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_Floats = NDArray[np.float32]

_HAZE = np.array([188, 200, 214], np.float32)
_SKIES = [((52, 104, 178), (222, 226, 224)), ((242, 146, 84), (250, 222, 170)), ((70, 128, 150), (206, 222, 214))]
_EARTH = [((46, 62, 66), (92, 116, 54)), ((60, 40, 62), (134, 104, 60)), ((30, 56, 50), (58, 104, 74))]
_TOYS = [(214, 30, 38), (18, 74, 204), (250, 196, 14), (12, 150, 70), (226, 20, 150), (0, 178, 200)]


def scene(width: int, height: int, seed: int) -> Image.Image:
    """A landscape in RGB: gradients above, texture below, edges and saturated colours between; no axis is symmetric."""
    rng = np.random.default_rng([seed, width, height])
    canvas = _sky(rng, width, height, seed)
    for layer in range(3):
        _ridge(rng, canvas, layer, seed)
    image = Image.fromarray(np.clip(canvas + rng.normal(0, 2.5, canvas.shape), 0, 255).astype(np.uint8))
    _sun(image, seed)
    _house(image, seed)
    _balls(rng, image)
    _fence(image)
    return image


def _fractal(rng: Generator, width: int, height: int, coarsest: int, octaves: int) -> _Floats:
    """Noise of ever finer grain, each octave half as strong; (height, width), in 0..1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = coarsest << octave
        grain = rng.random((cells, cells), np.float32)
        total += np.asarray(Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    span = float(np.ptp(total)) or 1.0
    scaled: _Floats = (total - total.min()) / span
    return scaled


def _sky(rng: Generator, width: int, height: int, seed: int) -> _Floats:
    top, horizon = (np.array(colour, np.float32) for colour in _SKIES[seed % len(_SKIES)])
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    clouds = np.clip(_fractal(rng, width, height, 3, 5) * 2.4 - 1.1, 0, 1)[..., None]
    blue = top + (horizon - top) * np.minimum(depth * 1.6, 1)
    canvas: _Floats = blue + (246 - blue) * clouds * (1 - depth)
    return canvas


def _ridge(rng: Generator, canvas: _Floats, layer: int, seed: int) -> None:
    """One chain of hills, the nearer the darker and the rougher."""
    height, width, _ = canvas.shape
    far, near = (np.array(colour, np.float32) for colour in _EARTH[seed % len(_EARTH)])
    outline = _fractal(rng, width, 1, 3 + layer, 6)[0]
    line = height * (0.42 + 0.15 * layer + 0.20 * (0.5 - outline) + 0.06 * np.linspace(-1, 1, width))
    below = np.arange(height)[:, None] > line
    colour = far + (near - far) * layer / 2
    colour = colour + (_HAZE - colour) * (0.6, 0.25, 0.0)[layer]
    texture = 0.62 + 0.76 * _fractal(rng, width, height, 24 << layer, 3)[..., None]
    canvas[below] = (colour * texture)[below]


def _sun(image: Image.Image, seed: int) -> None:
    width, height = image.size
    radius, (x, y) = min(image.size) * 0.07, (width * 0.78, height * (0.16 + 0.05 * (seed % 3)))
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 244, 190))


def _house(image: Image.Image, seed: int) -> None:
    """Straight edges, sharp corners, and a grid of windows near the resize's own frequency."""
    draw, unit = ImageDraw.Draw(image), min(image.size) / 100
    left, top = image.width * (0.16 + 0.06 * (seed % 3)), image.height * 0.52
    draw.rectangle((left, top, left + 30 * unit, top + 24 * unit), fill=(226, 212, 190))
    roof = [(left - 3 * unit, top), (left + 15 * unit, top - 13 * unit), (left + 33 * unit, top)]
    draw.polygon(roof, fill=(176, 44, 32))
    for row in range(3):
        for column in range(5):
            x, y = left + (2.5 + 5.4 * column) * unit, top + (3 + 7 * row) * unit
            draw.rectangle((x, y, x + 3 * unit, y + 4.4 * unit), fill=(34, 44, 60))
            draw.rectangle((x, y, x + 1.2 * unit, y + 2 * unit), fill=(148, 186, 214))


def _balls(rng: Generator, image: Image.Image) -> None:
    """Shaded balls in colours that chroma subsampling does not like, and one of stripes."""
    draw, unit = ImageDraw.Draw(image), min(image.size) / 100
    for place, colour in enumerate(_TOYS):
        radius = unit * (4 + 5 * rng.random())
        x, y = image.width * (0.10 + 0.155 * place), image.height * (0.80 + 0.13 * rng.random())
        for step in range(12):
            inner, light = radius * (1 - step / 12), step / 11
            shade = tuple(round(value * (0.55 + 0.45 * light) + 110 * light**4) for value in colour)
            lean = 0.4 * (radius - inner)
            draw.ellipse((x - inner - lean, y - inner - lean, x + inner - lean, y + inner - lean), fill=shade)
        if place % 3 == 1:
            for angle in range(0, 180, 15):
                dx, dy = radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle))
                draw.line((x - dx, y - dy, x + dx, y + dy), fill=(250, 250, 250), width=max(1, round(unit / 3)))


def _fence(image: Image.Image) -> None:
    """Thin lines, close together: what a resize without antialiasing turns into a moiré."""
    draw, unit = ImageDraw.Draw(image), min(image.size) / 100
    y = image.height * 0.66
    for x in np.arange(image.width * 0.55, image.width * 0.97, max(2.0, 1.3 * unit)):
        draw.line((float(x), y, float(x), y + 12 * unit), fill=(244, 240, 230), width=max(1, round(unit * 0.4)))
