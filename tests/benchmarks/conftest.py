"""`benchmarks` is no part of the distribution: it is imported from the checkout, as `python -m benchmarks.…` does."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
