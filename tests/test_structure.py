"""How the modules of the package hang together."""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sksemobridge

PACKAGE = Path(sksemobridge.__file__).parent


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


# What labelling uses of other rooms beside their public names and `_utils`. The list only shrinks.
PRIVATE_NAMES_OF_LABELLING = {
    "_base.EmbeddingClassifier",
    "_base.LinearClassifier",
    "_model.near_copies.near_copies",
    "_model.unlabeled.typical_of_names",
    "_texts.encode.embed_classes",
    "_texts.encode.read_logit_scale",
    "_texts.prompts.ENSEMBLE_TEMPLATES",
    "_texts.words.bundled_words",
    "datasets._folder.COPIES_MARK",
    "datasets._folder.existing_folder",
    "encoders._heads.begins_as_image",
    "encoders._heads.read_exif",
    "encoders._shared.list_texts",
    "encoders._source.PLACE_OF_DOWNLOADS",
    "encoders._source.architecture",
}


def is_for_types(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(node, package):
    """Names that a part of a program imports, inside functions too, but for those of types."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - child.level]
            base = ".".join([*(above if child.level else []), *filter(None, [child.module])])
            for alias in child.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES else base
        elif not is_for_types(child):
            yield from imports(child, package)


def test_no_module_needs_itself():
    needed = {}
    for name, path in MODULES.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found = imports(ast.parse(path.read_text(encoding="utf-8")), package)
        needed[name] = {other for other in found if other in MODULES and other != name}
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        pytest.fail(f"These modules import each other: {' <- '.join(error.args[1])}")


def test_each_room_uses_only_floors_below_its_own_as_drawn():
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawing = text.split("<!-- the house -->")[1].split("```")[1]
    floors = [line[23:].replace("/", "").split() for line in drawing.splitlines()[1:]]
    floor_of = {room: -number for number, rooms in enumerate(floors) for room in rooms}
    rooms = {name.split(".")[1] for name in MODULES if "." in name}
    assert floor_of.keys() == rooms
    for name, path in MODULES.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for other in imports(ast.parse(path.read_text(encoding="utf-8")), package):
            if other.startswith("sksemobridge.") and "." in name:
                own, used = name.split(".")[1], other.split(".")[1]
                assert used not in rooms or own == used or floor_of[used] < floor_of[own], (
                    name,
                    other,
                )


def test_no_two_modules_or_packages_have_the_same_name():
    modules = defaultdict(list)
    for name in MODULES:
        # Neither an underscore nor a plural makes another name.
        modules[name.rpartition(".")[2].lstrip("_").removesuffix("s")].append(name)
    assert [found for found in modules.values() if len(found) > 1] == []


def test_no_two_modules_have_a_constant_of_the_same_name():
    modules = defaultdict(set)
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            for target in targets:
                if isinstance(target, ast.Name) and target.id.isupper():
                    modules[target.id].add(name)
    assert {name: found for name, found in modules.items() if len(found) > 1} == {}


def test_labelling_uses_public_names_and_a_short_list_of_private_ones():
    public = {*sksemobridge.__all__, *sksemobridge.datasets.__all__, *sksemobridge.encoders.__all__}
    used = set()
    for name, path in MODULES.items():
        if not name.startswith("sksemobridge.labelling"):
            continue
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                above = package.split(".")[: len(package.split(".")) + 1 - node.level]
                base = ".".join([*above, *filter(None, [node.module])])
                if not base.startswith(("sksemobridge.labelling", "sksemobridge._utils")):
                    names = {alias.name for alias in node.names} - public
                    used |= {f"{base}.{name}" for name in names}
    assert {name.removeprefix("sksemobridge.") for name in used} == PRIVATE_NAMES_OF_LABELLING
