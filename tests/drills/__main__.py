"""Every drill: `python -m tests.drills`, which is `make drills`."""

from __future__ import annotations

import sys

from tests.drills.harness import catalogue
from tests.drills.harness.running import main

if __name__ == "__main__":
    sys.exit(main(catalogue.drills()))
