"""What the docs say of the sources still holds. Their code blocks run by way of conftest.py."""

import ast
import re
import runpy
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import sksemobridge
import sksemobridge.distributed

PACKAGE = Path(sksemobridge.__file__).parent
ROOT = PACKAGE.parent
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    ROOT / "benchmarks" / "README.md",
]
# Where the repository is on the web, and what the build of the site makes.
REPOSITORY = re.compile(r"https://github\.com/sksemobridge/sksemobridge/(?:blob|tree|raw)/[\w.]+/")
BUILT = ("generated/",)


def texts_in_sources():
    """Every string in the package as the user would see it, with `…` where a value is filled in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_message_in_troubleshooting_is_one_of_the_package():
    sources = list(texts_in_sources())
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^- `(.+)`$", page, flags=re.MULTILINE)
    assert len(messages) > 10
    # What is filled in may hold text of its own.
    patterns = {m: re.compile(".*".join(map(re.escape, m.split("…"))), re.DOTALL) for m in messages}
    assert [m for m in messages if not any(patterns[m].search(text) for text in sources)] == []


def links(text):
    """Targets in the text, and those that it gives names at its end (`[name]: target`)."""
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r"^\[[^\]]+\]: (\S+)$", text, flags=re.MULTILINE)


def broken_links(text, page):
    """Links of a page to files and headings of the repository that are not there."""
    for target in links(text):
        path, _, anchor = target.partition("#")
        here = REPOSITORY.match(target)
        if (re.match(r"[a-z]+:", target) and not here) or path.startswith(BUILT):
            continue
        folder = ROOT if here else page.parent
        file = folder / REPOSITORY.sub("", path) if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    assert list(broken_links(page.read_text(encoding="utf-8"), page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_with_a_name_have_a_target(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"^\[([^\]]+)\]: ", text, flags=re.MULTILINE))
    assert set(re.findall(r"\]\[([^\]]+)\]", re.sub(r"`[^`]*`|```.*?```", "", text))) <= named


def test_the_readme_of_a_release_has_absolute_links_that_lead_somewhere():
    readme = ROOT / "README.md"
    with_absolute_links = runpy.run_path(ROOT / "tools" / "readme_for_pypi.py")[
        "with_absolute_links"
    ]
    text = with_absolute_links(readme.read_text(encoding="utf-8") + "[a](#how-good-is-it)", "v1.0")
    assert [target for target in links(text) if not target.startswith("https://")] == []
    assert "/raw/v1.0/docs/images/" in text
    assert "/blob/v1.0/README.md#how-good-is-it" in text
    assert list(broken_links(text, readme)) == []


def test_the_recording_in_the_readme_is_short_and_small():
    file = ROOT / "docs" / "images" / "live.webp"
    assert file.stat().st_size < 2 * 2**20
    with Image.open(file) as film:
        seconds = 0
        for frame in range(film.n_frames):
            film.seek(frame)
            film.load()
            seconds += film.info["duration"] / 1000
    assert 5 < seconds <= 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_plots_of_the_site_are_those_of_examples(page):
    names = re.findall(r"<!-- plot of (\w+):", page.read_text(encoding="utf-8"))
    assert [name for name in names if not (ROOT / "examples" / f"{name}.py").exists()] == []


def test_the_map_of_the_package_names_files_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rest = text.partition("## Which file to open")[2]
    names = re.findall(r"`([\w/.]+(?:/|\.py|\.js))`", rest.partition("\n## ")[0])
    assert len(names) > 50
    assert [
        name for name in names if not (PACKAGE / name).exists() and not (ROOT / name).exists()
    ] == []


def test_the_map_of_the_package_names_each_room():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {path.parent for path in PACKAGE.rglob("*.*") if path.suffix in (".py", ".js")}
    names = [f"{room.relative_to(PACKAGE).as_posix()}/" for room in rooms - {PACKAGE}]
    names += [path.name for path in PACKAGE.glob("[!_]*.py")]
    names += [path.name for path in PACKAGE.glob("_[!_]*.py")]
    assert len(names) > 20
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize(("suffix", "first"), [("py", '"""\\w'), ("js", '// ["A-Z]')])
def test_each_module_says_first_what_it_has(suffix, first):
    paths = [path for path in PACKAGE.rglob(f"*.{suffix}") if "data" not in path.parts]
    assert len(paths) > 20
    lines = {path: path.read_text(encoding="utf-8").splitlines() for path in paths}
    assert [
        path for path, text in lines.items() if not any(re.match(first, line) for line in text[:2])
    ] == []


def anchors(page):
    """Anchors of the headings of a Markdown page, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_programs_that_a_page_names_have_the_options(page):
    for line in re.findall(r"python (\w+/\w+\.py[^`\n]*)", page.read_text(encoding="utf-8")):
        program, *arguments = line.split()
        source = (ROOT / program).read_text(encoding="utf-8")
        if "tasks.parser(" in source:  # the arguments that the benchmarks share
            source += (ROOT / "benchmarks" / "tasks.py").read_text(encoding="utf-8")
        missing = [
            part for part in arguments if part.startswith("--") and f'"{part}"' not in source
        ]
        assert not missing, f"{program} has no {missing}"


def test_examples_and_pages_import_nothing_private():
    files = [*(ROOT / "examples").glob("*.py"), *PAGES]
    private = re.compile(r"^(?:from|import) sksemobridge\S*\._", flags=re.MULTILINE)
    assert [file.name for file in files if private.search(file.read_text(encoding="utf-8"))] == []


def test_the_reference_lists_all_that_is_public():
    reference = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   ([A-Za-z_.]+)$", reference, flags=re.MULTILINE))
    public = set(sksemobridge.__all__) - {"datasets", "labelling"}
    public |= {f"datasets.{name}" for name in sksemobridge.datasets.__all__}
    public |= {f"encoders.{name}" for name in {*sksemobridge.encoders.__all__} - public}
    public |= {*sksemobridge.distributed.__all__, *sksemobridge.labelling.__all__}
    assert listed == public


def test_pages_with_code_say_what_to_install_or_need_what_the_first_page_says():
    tool = runpy.run_path(ROOT / "tools" / "check_pages.py")
    groups = tool["pages_by_installs"](PAGES)
    assert sum(map(len, groups.values())) > 10
    pages = {page.name: wanted for wanted, group in groups.items() for page in group}
    assert pages["names.md"] == pages["start.md"] == (".[plot]",)
    assert {".[onnx]", "skops", "fastapi", "uvicorn"} <= {*pages["serve.md"]}


def test_every_page_is_in_the_table_of_contents():
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages & {"search", "genindex", "py-modindex"} == set()  # Sphinx makes them
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    trees = re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
    listed = {line.strip() for tree in trees for line in tree.splitlines()}
    assert sorted(pages - listed) == []
    # And described in a sentence.
    assert [page for page in sorted(pages) if f"({page}.md)" not in index] == []


def test_the_service_of_the_page_answers(tmp_path, monkeypatch):
    testing = pytest.importorskip("fastapi.testclient")
    monkeypatch.chdir(tmp_path)
    # Which the page lowers.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    page, names = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8"), {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[:3]:
        exec(block, names)
    file = BytesIO()
    Image.fromarray(names["images"][1]).save(file, "JPEG")
    client = testing.TestClient(names["app"])
    for content, status in ((file.getvalue(), 200), (b"no image", 422)):
        answer = client.post("/label", content=content, headers={"Content-Type": "image/jpeg"})
        assert answer.status_code == status
