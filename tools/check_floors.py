"""Run the tests with the lowest versions that the package says it supports.

    python tools/check_floors.py
    python tools/check_floors.py --with numpy==2.1.0 --with scipy==1.14.1

Makes a virtual environment of its own with the Python that runs this, installs the package with
every dependency at its floor in pyproject.toml, and runs the tests there. `--with` tries another
version of a dependency, to see whether its floor can be lowered. What only tests need is as new as
the rest allows. Run it with the lowest Python too: pyproject.toml says which.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def requirements(changes=()):
    """`name==version` for each dependency of the package, and what its tests need, those of ONNX
    included.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(line.split(">=") for line in project["dependencies"])
    for line in changes:
        name, version = line.split("==")
        if name not in pins:
            raise SystemExit(f"{name!r} is not among the dependencies {sorted(pins)}.")
        pins[name] = version
    extras = project["optional-dependencies"]
    return [f"{name}=={version}" for name, version in pins.items()], extras["test"] + extras["onnx"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--with", action="append", default=[], dest="changes", metavar="NAME==VERSION"
    )
    parser.add_argument("tests", nargs="*", help="what pytest is to run; everything by default")
    args = parser.parse_args()
    pins, for_tests = requirements(args.changes)
    print(f"Python {sys.version.split()[0]}:", *pins, flush=True)
    with tempfile.TemporaryDirectory(prefix="floors-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *pins, *for_tests], check=True)
        # Without dependencies, which may be lower than the package asks for.
        subprocess.run([*install, "--no-deps", "-e", ROOT], check=True)
        # What an old scikit-learn hands to a new pytest.
        accepted = "ignore:Passing a non-Collection iterable to parametrize"
        return subprocess.run(
            [python, "-m", "pytest", "-q", "-W", accepted, *args.tests], cwd=ROOT
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
