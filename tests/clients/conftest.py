"""The clients' tests take their stand-in for a show from the web's tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine" / "web"))
