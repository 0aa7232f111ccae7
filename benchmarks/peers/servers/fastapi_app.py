"""FastAPI: the photograph is the body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import anyio.to_thread
from classifier import Classifier, pixels
from fastapi import Body, FastAPI, Request

classifier = Classifier()


@asynccontextmanager
async def one_thread(app: FastAPI) -> AsyncIterator[None]:
    # There is a process a core. With Starlette's 40 threads it has 40 photographs in memory and is slower.
    anyio.to_thread.current_default_thread_limiter().total_tokens = 1
    yield


app = FastAPI(lifespan=one_thread)


@app.post("/classify")
def classify(image: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, float]:
    index, score = classifier.best(pixels(image))
    return {"index": index, "score": score}


@app.post("/classify-inline")
async def classify_inline(request: Request) -> dict[str, float]:
    # On the thread of the event loop: nothing else is read meanwhile, but no thread is changed either.
    index, score = classifier.best(pixels(await request.body()))
    return {"index": index, "score": score}
