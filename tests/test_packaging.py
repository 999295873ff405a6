"""An editable install is found from every folder, and extras hold what they are for."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Without the site-packages of this Python, only the folder of the editable install.
FIND = """
import site, sys
from importlib.util import find_spec

site.addsitedir(sys.argv[1])
print(find_spec("sksemobridge").origin)
"""


def test_a_folder_of_the_same_name_does_not_hide_an_editable_install(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    build = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    wheel = import_module(build["build-backend"]).build_editable(str(tmp_path))
    zipfile.ZipFile(tmp_path / wheel).extractall(tmp_path / "site")

    # As in the folder above a clone, which has the name of the package.
    (tmp_path / "above" / "sksemobridge" / "sksemobridge").mkdir(parents=True)
    command = [sys.executable, "-E", "-S", "-c", FIND, str(tmp_path / "site")]
    found = subprocess.run(command, cwd=tmp_path / "above", capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == ROOT / "sksemobridge" / "__init__.py"


def test_the_extra_examples_holds_what_the_examples_import():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["examples"]]
    # joblib comes with scikit-learn.
    installed = {"joblib"} | {normal(re.match(r"[\w-]+", line)[0]) for line in required}
    distributions = packages_distributions()
    missing = set()
    for path in (ROOT / "examples").glob("*.py"):
        for name in imported(path) - sys.stdlib_module_names - {"sksemobridge"}:
            if not installed & {normal(found) for found in distributions.get(name, [name])}:
                missing.add((path.name, name))
    assert missing == set()


def imported(path):
    """Top-level names of the modules that a program imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def normal(name):
    return name.lower().replace("_", "-")
