"""Run the code of each page after the install lines of this page, in a new environment.

    python tools/check_pages.py [docs/PAGE.md ...]

A page without install lines has those of docs/start.md. Pages with the same lines share an
environment. The tests run the same code, but with all packages of the tests. It takes some minutes,
and needs a network or a cache of pip.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCED = re.compile(r"```.*?```", re.DOTALL)
# In a fenced block a command ends with its line, in a sentence with its backtick.
INSTALL_IN_BLOCK = re.compile(r"pip install ([^&\n]+)")
INSTALL_IN_SENTENCE = re.compile(r"`pip install ([^`&]+)")
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def installs(page):
    """What the page says to install, sorted, or else what docs/start.md says."""
    text, parts = page.read_text(encoding="utf-8"), set()
    commands = INSTALL_IN_BLOCK.findall("\n".join(FENCED.findall(text)))
    commands += INSTALL_IN_SENTENCE.findall(FENCED.sub("", text))
    for arguments in commands:
        if not arguments.startswith("-"):  # as for development, or without dependencies
            parts |= {*shlex.split(arguments)}
    return tuple(sorted(parts)) or installs(ROOT / "docs" / "start.md")


def program(page):
    """All code of a page, also the blocks that the tests skip."""
    return "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))


def pages_by_installs(pages):
    groups = {}
    for page in pages:
        if program(page):
            groups.setdefault(installs(page), []).append(page)
    return groups


def check(wanted, pages, folder):
    """Make an environment in `folder`, run the pages, and return the names of those that fail."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    # The package itself, if the lines name only others.
    subprocess.run([python, "-m", "pip", "install", "-q", ".", *wanted], cwd=ROOT, check=True)
    failed = []
    for page in pages:
        here = folder / page.stem
        here.mkdir()
        ended = subprocess.run(
            [python, "-c", program(page)],
            cwd=here,
            env=os.environ | {"MPLBACKEND": "Agg"},
            capture_output=True,
            text=True,
        )
        print("ok    " if ended.returncode == 0 else "FAILED", page.relative_to(ROOT), flush=True)
        if ended.returncode:
            print(ended.stderr)
            failed.append(page.name)
    return failed


def main(names):
    pages = [ROOT / name for name in names]
    pages = pages or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    failed = []
    for wanted, group in pages_by_installs(pages).items():
        print("pip install", *wanted, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            failed += check(wanted, group, Path(folder))
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
