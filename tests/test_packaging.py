"""An editable install is found from every folder."""

import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
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
