"""Programs of tests in processes of their own. On Linux they have imported scikit-learn already,
which takes two seconds, and nothing that the package may do without. They end without `atexit`.
"""

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

_PROCESSES = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
_PROCESSES.set_forkserver_preload(["sklearn.pipeline"])


def start_program(code, *arguments, output, errors=None):
    """Start a program with the folder and the environment of this moment. What it prints comes into
    the file `output`, and its errors into the same or another one.
    """
    files = Path(output), Path(errors or output)
    for file in files:
        file.write_bytes(b"")
    parts = (code, arguments, os.getcwd(), dict(os.environ), *files)
    process = _PROCESSES.Process(target=_run, args=parts)
    process.start()
    return process


def run_program(code, *arguments):
    """The `returncode`, `stdout` and `stderr` of a program that has ended."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("output", "errors")]
        process = start_program(code, *arguments, output=files[0], errors=files[1])
        process.join()
        stdout, stderr = (file.read_text() for file in files)
    return SimpleNamespace(returncode=process.exitcode, stdout=stdout, stderr=stderr)


def _run(code, arguments, folder, environment, *files):
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)), number)
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})
