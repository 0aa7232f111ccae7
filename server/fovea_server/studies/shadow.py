"""Give copies of images to a candidate whose answers nobody gets, and compare what both say of them.

A copy is worth less than anything else: there is at most one at a time, none while the gateway has anything to do, and
between two of them a rest that keeps the share of time with a copy small.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable

from fovea_server.domain import Answer, Deadline, Model, Question
from fovea_server.errors import FoveaError
from fovea_server.metrics import Metrics
from fovea_server.request import answers
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.routing import Arm, Routing, Split
from fovea_server.request.service import InferenceEngine
from fovea_server.studies.observations import Disagreement
from fovea_server.studies.tally import Tally

_PAUSE = 0.005  # seconds for the answer to leave, and for whoever comes next to be seen
_PATIENCE = 5.0  # seconds a copy may take


class Shadow:
    """`busy_share` of the time a copy may be under way in this process, 0 to 1."""

    def __init__(
        self,
        busy_share: float,
        engine: InferenceEngine,
        catalogue: Catalogue,
        is_idle: Callable[[], bool],
        routing: Routing,
        tally: Tally,
        metrics: Metrics,
    ) -> None:
        self._busy_share = busy_share
        self._routing = routing
        self._engine = engine
        self._catalogue = catalogue
        self._is_idle = is_idle
        self._tally = tally
        self._metrics = metrics
        self._copy: asyncio.Task[None] | None = None
        self._rests_until = 0.0  # monotonic

    def offer(self, question: Question, image: bytes, answer: Answer) -> None:
        """After an image was answered, in the form that Triton was given. Returns at once; a copy of what the control
        answered is made, or dropped and counted as such."""
        split = self._routing.split_of(answer.exposure) if answer.exposure else None
        arm = split.copied_to(question.id, answer.exposure) if split and answer.exposure else None
        if split is None or arm is None:
            return
        if self._copy or time.monotonic() < self._rests_until or not self._is_idle():
            self._metrics.shadow_copy("dropped")
            return
        self._copy = asyncio.get_running_loop().create_task(self._make(split, arm, question, image, answer))

    async def close(self) -> None:
        if self._copy:
            self._copy.cancel()
            await asyncio.wait({self._copy})

    async def _make(self, split: Split, arm: Arm, question: Question, image: bytes, answer: Answer) -> None:
        try:
            await asyncio.sleep(_PAUSE)
            if not self._is_idle():
                self._metrics.shadow_copy("dropped")
                return
            began = time.monotonic()
            try:
                await self._compare(split, arm, question, image, answer)
            except FoveaError:
                self._metrics.shadow_copy("failed")
            took = time.monotonic() - began
            self._rests_until = time.monotonic() + took * (1 / self._busy_share - 1)
        finally:
            self._copy = None

    async def _compare(self, split: Split, arm: Arm, question: Question, image: bytes, answer: Answer) -> None:
        with self._catalogue.borrow([arm.target]) as models:
            said = await self._ask(models[0], question, image)
        (result,) = answer.results
        if said is None or not result.predictions:
            return
        control = result.predictions[0].label
        self._tally.compared(split.experiment, split.stage, arm.name, agreed=said == control)
        self._metrics.shadow_copy("compared")
        if said != control:
            sha256 = hashlib.sha256(question.image).hexdigest()
            self._tally.disagreed(Disagreement(split.experiment, question.id, time.time(), sha256, control, said))

    async def _ask(self, model: Model, question: Question, image: bytes) -> str | None:
        """The candidate's best label; None from one without labels."""
        inferences = await self._engine.infer([model], image, question.id, Deadline.after(_PATIENCE))
        scores = inferences[0].scores
        return None if scores is None else answers.best(scores, model.labels, 1)[0].label
