"""What JSON can say: it knows no infinity and no nan."""

from __future__ import annotations

import math
from typing import Any


def finite(document: Any) -> Any:
    """The same with null for both."""
    if isinstance(document, dict):
        return {name: finite(each) for name, each in document.items()}
    if isinstance(document, (list, tuple)):
        return [finite(each) for each in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document
