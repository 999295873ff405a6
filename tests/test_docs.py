"""What the docs say of the sources still holds. Their code blocks run by way of conftest.py."""

import ast
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import sksemobridge
import sksemobridge.distributed

PACKAGE = Path(sksemobridge.__file__).parent
ROOT = PACKAGE.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
# What the build of the site makes.
BUILT = ("auto_examples/", "generated/")


def texts_in_sources():
    """Every string in the package as the user would see it, with `…` where a value is filled in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def quoted_messages():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^- `(.+)`$", page, flags=re.MULTILINE)


def test_every_message_in_troubleshooting_is_one_of_the_package():
    sources = list(texts_in_sources())
    messages = quoted_messages()
    assert len(messages) > 30
    gone = []
    for message in messages:
        # What is filled in may hold text of its own.
        pattern = ".*".join(re.escape(part) for part in message.split("…"))
        if not any(re.search(pattern, text, flags=re.DOTALL) for text in sources):
            gone.append(message)
    assert gone == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or path.startswith(BUILT):
            continue
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page):
    """Anchors of the headings of a Markdown page, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_to_examples_name_examples():
    examples = {path.stem for path in (ROOT / "examples").glob("*.py")}
    linked = {
        name
        for page in PAGES
        for name in re.findall(
            r"auto_examples/(?:images/sphx_glr_)?((?:plot|search|save)_[a-z_]+?)(?:_\d{3}\.png|\.rst)",
            page.read_text(encoding="utf-8"),
        )
    }
    assert linked
    assert linked <= examples


def test_the_reference_lists_all_that_is_public():
    reference = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   ([A-Za-z_.]+)$", reference, flags=re.MULTILINE))
    public = set(sksemobridge.__all__) - {"datasets"}
    public |= {f"datasets.{name}" for name in sksemobridge.datasets.__all__}
    public |= set(sksemobridge.distributed.__all__)
    assert listed == public


def test_every_page_is_in_a_table_of_contents():
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    trees = [
        re.findall(r"```\{toctree\}\n(.*?)```", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.DOTALL)
        for name in ("index.md", "user_guide.md")
    ]
    lines = [line for found in trees for tree in found for line in tree.splitlines()]
    listed = {re.sub(r".*<(.+)>$", r"\1", line.strip()) for line in lines}
    assert [page for page in pages if not any(fnmatch(page, entry) for entry in listed)] == []


def test_the_benchmark_table_of_the_readme_is_that_of_the_results():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("<!-- benchmark table -->")[1].split("<!-- end -->")[0]
    rows = [line for line in block.splitlines() if line.startswith("|")]
    assert len(rows) > 10
    results = (ROOT / "docs" / "benchmarks_real.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row not in results] == []


# Around the page's blocks: what a reader brings along, and what must be true at the end.
BEFORE_SPARK = """
from pathlib import Path
from PIL import Image
from sksemobridge import CLIPImageEncoder, SeMoBridgeClassifier
from sksemobridge.datasets import load_emoji
from sksemobridge.encoders import EmbeddingCache

images, y = load_emoji().images[::24], load_emoji().target[::24].astype(str)
X = CLIPImageEncoder("mini", "bundled").transform(images)
classifier = SeMoBridgeClassifier(class_names="ignore").fit(X, y)
paths = [str(Path(f"{i}.png").resolve()) for i in range(len(images))]
for path, image in zip(paths, images):
    Image.fromarray(image).save(path)
paths.append("missing.png")
"""
AFTER_SPARK = """
assert result["label"].isna().tolist() == [False] * len(X) + [True]
assert result["label"][:-1].tolist() == classifier.predict(X).tolist()
assert len(EmbeddingCache("embeddings")) == len(X)
"""


def test_spark_takes_the_function_of_the_page_and_fills_the_cache(tmp_path):
    pytest.importorskip("pyspark", reason="needs pyspark")
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    page = page.partition("## Dask and Spark")[2].replace('"ViT-B-16", "openai"', '"mini", "bundled"')
    function, spark = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    function = function.partition("table = ")[0].replace("import dask.dataframe as dd\n", "")
    program = tmp_path / "program.py"
    program.write_text("\n".join([BEFORE_SPARK, function, spark, AFTER_SPARK]), encoding="utf-8")
    where = {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, program.name]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | where
    )
    assert done.returncode == 0, done.stderr
