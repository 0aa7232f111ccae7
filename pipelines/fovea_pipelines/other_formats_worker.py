"""The process in which images of other formats are decoded: a line asks, a line answers, the bytes go through a file.

Started as `python -m fovea_pipelines.other_formats_worker FILE MEMORY PARENT FORMATS`: the open file both sides share,
how many bytes of memory this process may have, whose child it is, and what it decodes. It says `ready`. Then each line
`FORMAT BYTES MAX_PIXELS` asks for the image that is in the file, and is answered `done`, with the PNG in its place, or
with the word and the sentence of a NotConverted. Nothing is pickled: whoever takes over a decoder by a crafted image
can say no more than that.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import BinaryIO

from fovea_pipelines.child_process import end_with
from fovea_pipelines.not_converted import NotConverted, OutOfMemory

READY, DONE, FAILED = "ready", "done", "failed"


def main() -> None:
    number, memory, parent, formats = sys.argv[1:]
    end_with(int(parent))
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    from fovea_pipelines import other_formats

    other_formats.prepare(formats.split(","))
    _limit(int(memory))
    print(READY, file=answers)
    _be_quiet()
    with os.fdopen(int(number), "r+b") as file:
        for line in requests:
            form, size, max_pixels = line.split()
            print(_answer(file, form, int(size), int(max_pixels)), file=answers)


def _answer(file: BinaryIO, form: str, size: int, max_pixels: int) -> str:
    from fovea_pipelines import other_formats

    try:
        file.seek(0)
        image = file.read(size)
        file.seek(0)
        file.truncate()
        other_formats.to_png(image, form, max_pixels, file)
        file.flush()
    except NotConverted as reason:
        return _line(reason.word, reason)
    except MemoryError:
        return _line(OutOfMemory.word, "writing its pixels takes more memory than it may")
    except Exception as error:  # a fault of ours, not of the image
        return _line(FAILED, repr(error))
    return DONE


def _line(word: str, sentence: object) -> str:
    return f"{word} {' '.join(str(sentence).split())[:500]}"


def _limit(memory: int) -> None:
    """No more memory, no longer files, and no dumps of it: a decoder that is led astray fails alone."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _be_quiet() -> None:
    """What decoders print about damaged files is for nobody, and must not be taken for an answer."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)


if __name__ == "__main__":
    main()
