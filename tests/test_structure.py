"""How the modules of the package hang together."""

import ast
import re
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


# The application labels folders, and is a client of the library, as a user's program is. Each room
# of the application uses only rooms before it.
ROOMS_OF_APPLICATION = ("_messages", "_web", "_answers", "_photos", "_live", "_command")
APPLICATION = tuple(f"sksemobridge.labelling.{room}" for room in ROOMS_OF_APPLICATION)
# What it uses beside public names, and the algorithms of `sksemobridge.labelling`. The list only
# shrinks.
PRIVATE_NAMES_OF_APPLICATION = {
    "_texts.prompts.ENSEMBLE_TEMPLATES": "a table of names asks for the prompts of the classifier",
    "_utils.files.new_file": "writes a file completely, or not at all",
    "_utils.files.settled_change": "index of files and answers have one rule of what is unchanged",
    "_utils.files.unfinished_folder": "many sidecars are written in one unfinished folder",
    "_utils.validation.comparable": "classifier and page have one rule of what is the same name",
    "_utils.validation.listed": "messages of the library and the command name offenders alike",
    "_utils.validation.plural": "messages",
    "_utils.validation.warn_caller": "messages",
    "datasets._folder.COPIES_MARK": "load_image_folder passes over what the command writes",
    "encoders._heads.read_exif": "reads what Pillow needs plug-ins for",
}
# Attributes of objects of the library that begin with an underscore.
PRIVATE_ATTRIBUTES_OF_APPLICATION = {
    "_parameter_constraints": "as scikit-learn asks of a subclass",
    "_taught_by": "with_unlabeled, which also says what the pictures have taught",
    "_none_of_these": "a mark of the application in a classifier that is saved",
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


def trees_of_application():
    for name, path in MODULES.items():
        if name.startswith(APPLICATION):
            yield name, path, ast.parse(path.read_text(encoding="utf-8"))


def test_each_room_of_the_application_uses_only_rooms_before_it():
    floor_of = {room: floor for floor, room in enumerate(ROOMS_OF_APPLICATION)}
    seen = set()
    for name, path, tree in trees_of_application():
        own = name.split(".")[2]
        seen.add(own)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for other in imports(tree, package):
            if other.startswith(APPLICATION):
                room = other.split(".")[2]
                assert own == room or floor_of[room] < floor_of[own], (name, other)
    assert seen == set(ROOMS_OF_APPLICATION)
    packages = {path.parent.name for path in (PACKAGE / "labelling").glob("*/__init__.py")}
    assert packages <= seen


def test_the_application_uses_public_names_and_a_short_list_of_private_ones():
    public = {*sksemobridge.__all__, *sksemobridge.datasets.__all__, *sksemobridge.encoders.__all__}
    used = set()
    for name, path, tree in trees_of_application():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                above = package.split(".")[: len(package.split(".")) + 1 - node.level]
                base = ".".join([*above, *filter(None, [node.module])])
                if not base.startswith("sksemobridge.labelling"):
                    names = {alias.name for alias in node.names} - public
                    used |= {f"{base}.{name}" for name in names}
    found = {name.removeprefix("sksemobridge.") for name in used}
    assert found == PRIVATE_NAMES_OF_APPLICATION.keys()


def test_the_application_uses_no_private_attributes_but_those_of_a_short_list():
    own, used = set(), set()
    for _, _, tree in trees_of_application():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
                is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                (own if is_own else used).add(node.attr)
    assert used - own == PRIVATE_ATTRIBUTES_OF_APPLICATION.keys()
