"""What tests share: tiny real models and stores built in code, hostile and sample files, commands as they are run."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "tests" / "indexer" / "samples"
"""Files of other programs, see ``office_samples`` and ``paper_samples``."""
WITH_PARTS = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")}
"""The environment of a process that imports this package too."""
