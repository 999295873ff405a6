"""Build source and wheel, look into both, and try the first steps with nothing but the wheel.

    pip install build twine && python tools/check_distribution.py [--weights]

`twine check` reads both as PyPI does. Then an empty virtual environment in a temporary folder gets
the wheel with its dependencies, which takes some minutes, and runs the quickstart, and the code of
README and docs/start.md: with `--weights` by the model for photographs, which is downloaded, else
by the bundled model.
"""

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sksemobridge"
DATA = [
    "sksemobridge/encoders/data/mini/open_clip_config.json",
    "sksemobridge/encoders/data/mini/open_clip_model.safetensors",
    "sksemobridge/datasets/data/emoji.npz",
    "sksemobridge/datasets/data/vocabulary.txt",
    "sksemobridge/__init__.pyi",
    "sksemobridge/labelling/_live/static/live.html",
    "sksemobridge/labelling/_live/static/live.js",
    "sksemobridge/labelling/_web/controls.css",
    "sksemobridge/labelling/_web/dom.js",
    "sksemobridge/labelling/_web/words.js",
    "sksemobridge/labelling/_photos/report/page.html",
    "sksemobridge/labelling/_photos/report/page.css",
    "sksemobridge/labelling/_photos/report/page.js",
    "sksemobridge/py.typed",
]
LICENCES = [
    "LICENSE",
    "sksemobridge/encoders/data/LICENSES.md",
    "sksemobridge/datasets/data/LICENSES.md",
]
IN_SOURCE = [
    "README.md",
    "CHANGELOG.md",
    "examples/plot_quickstart.py",
    "docs/index.md",
    "tests/conftest.py",
]
NOT_SHIPPED = re.compile(
    r"__pycache__|\.pyc$|/_build/|/auto_examples/|/docs/generated/|\.egg-info/.*\.py$"
)


def run(*command, cwd):
    print("+", *command, flush=True)
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, text=True, stdout=subprocess.PIPE
    )
    print(done.stdout)
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}")
    return done.stdout


def require(names, wanted, what):
    missing = sorted(set(wanted) - set(names))
    unwanted = [name for name in names if NOT_SHIPPED.search(name)]
    if missing or unwanted:
        sys.exit(f"{what} lacks {missing} and has {unwanted}")
    print(f"{what}: {len(names)} files, with all of {len(set(wanted))} that must be there")


def check_contents(source, wheel):
    modules = [str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")]
    with tarfile.open(source) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    require(names, [*modules, *DATA, *LICENCES, *IN_SOURCE], source.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    metadata = wheel.name.rpartition("-py3")[0] + ".dist-info"
    require(
        names, [*modules, *DATA, *(f"{metadata}/licenses/{name}" for name in LICENCES)], wheel.name
    )
    others = [name for name in names if not name.startswith(("sksemobridge/", metadata))]
    if others:
        sys.exit(f"{wheel.name} has {others}, which would be installed beside the package")


def first_steps(page, with_weights):
    """The program of all code blocks of a page."""
    program = "\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    return program.replace('"mini", "bundled"', '"ViT-B-16", "openai"') if with_weights else program


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--weights", action="store_true", help="run both pages with the model for photographs"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
        (source,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
        check_contents(source, wheel)
        run(sys.executable, "-m", "twine", "check", "--strict", source, wheel, cwd=folder)

        run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
        python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        run(python, "-m", "pip", "install", "--quiet", f"{wheel}[plot]", cwd=folder)

        with tarfile.open(source) as archive:
            archive.extractall(folder / "source", filter="data")
        (unpacked,) = (folder / "source").iterdir()
        # Somewhere else, so that the package can only come from the wheel.
        here = folder / "elsewhere"
        here.mkdir()
        printed = run(python, unpacked / "examples" / "plot_quickstart.py", cwd=here)
        if (
            "of the folder are right" not in printed
            or not (here / "quickstart" / "page.html").exists()
        ):
            sys.exit("the quickstart did not print its figures or write its page")
        for name in ("README.md", "docs/start.md"):
            page = (unpacked / name).read_text(encoding="utf-8")
            run(python, "-c", first_steps(page, args.weights), cwd=here)
    print("Source and wheel are complete, and the first steps run from the wheel alone.")


if __name__ == "__main__":
    main()
