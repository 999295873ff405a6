"""The modules of benchmarks/ can be imported by their names, as the programs there import each
other.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
