"""What an installed package offers to Python and to type checkers."""

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import sksemobridge
from sksemobridge import datasets

ROOT = Path(__file__).resolve().parents[1]


def test_importing_and_making_a_pipeline_loads_no_heavy_package():
    program = """
import sys
import sksemobridge, sksemobridge.displays, sksemobridge.encoders
sksemobridge.FewShotClassifier, sksemobridge.CLIPImageEncoder
models = [("ViT-B-32", "openai"), ("RN50", "auto"), "timm:resnet18"]
sksemobridge.make_few_shot_pipeline(models)
heavy = {"torch", "torchvision", "open_clip", "timm", "ray", "matplotlib"}
sys.exit(", ".join(heavy & set(sys.modules)) or None)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_newest_release_of_the_changelog_and_the_citation_is_this_version():
    citation, changelog, project = (
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("CITATION.cff", "CHANGELOG.md", "pyproject.toml")
    )
    version = tomllib.loads(project)["project"]["version"]
    cited = re.search(r"^version: (.+)\ndate-released: (.+)$", citation, flags=re.MULTILINE)
    # An unreleased section above it says what comes next.
    newest = re.search(r"^## \[(.+)\] - (\d.+)$", changelog, flags=re.MULTILINE)
    assert cited.groups() == newest.groups()
    assert cited[1] == version


def test_nothing_says_to_install_a_package_that_is_not_on_pypi():
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for folder in ("docs", "examples", "benchmarks", "sksemobridge", "tools"):
        files += [path for path in (ROOT / folder).rglob("*.*") if path.suffix in (".md", ".py")]
    by_name = re.compile(r"pip install (-\S+ )*['\"]?sksemobridge")
    assert [path for path in files if by_name.search(path.read_text(encoding="utf-8"))] == []


def public_functions():
    """All that the package offers to be called, by name: functions, and the methods that it adds to
    scikit-learn's.
    """
    for room, names in ((sksemobridge, sksemobridge.__all__), (datasets, datasets.__all__)):
        for name in names:
            value = getattr(room, name)
            if inspect.isfunction(value):
                yield name, value
            elif inspect.isclass(value) and not issubclass(value, Exception):
                for method in dir(value):
                    function = getattr(value, method)
                    is_ours = str(getattr(function, "__module__", "")).startswith("sksemobridge")
                    is_call = inspect.isfunction(function) or inspect.ismethod(function)
                    if is_call and is_ours and (not method.startswith("_") or method == "__init__"):
                        yield f"{name}.{method}", function


def test_the_public_interface_has_type_hints():
    assert (Path(sksemobridge.__file__).parent / "py.typed").exists()
    missing = []
    functions = dict(public_functions())
    assert len(functions) > 50
    for name, function in functions.items():
        signature = inspect.signature(function)
        unsaid = [
            p.name
            for p in signature.parameters.values()
            if p.name != "self" and p.annotation is p.empty
        ]
        if signature.return_annotation is signature.empty:
            unsaid.append("return")
        missing += [f"{name}: {', '.join(unsaid)}"] * bool(unsaid)
    assert missing == []
