"""Has the plots of docs/plots drawn from recorded results, where matplotlib is."""

import subprocess
from pathlib import Path

from environments import environment
from part import CHECKOUT, Bench


def draw(bench: Bench, results: Path) -> None:
    """Draw every plot whose figures are known."""
    script = Path(__file__).parent / "drawing" / "draw.py"
    subprocess.run([environment(bench, "tools"), script, results, CHECKOUT / "docs" / "plots"], check=True)
