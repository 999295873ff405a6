"""Break the package on purpose, and see whether its tests notice.

    python tools/mutants.py
    python tools/mutants.py --sample 300 sksemobridge/_model sksemobridge/_evaluation.py

Without files, it makes the named changes below, one at a time, and each must make a test fail. With
files or folders, it makes a sample of small changes there (mutants): another comparison or
operator, another number, the other case of a condition, a statement or an argument left out. A
mutant that survives shows code that no test needs; some change nothing that anybody could see.

Each change is made in a copy of the repository, and tested by the tests of its own module. It needs
a system with fork, Linux or macOS.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Tests of a module beside those of its own name.
MORE_TESTS = {
    "sksemobridge/_model/": ["tests/model/test_reference.py"],
    "sksemobridge/_model/linear.py": ["tests/test_fitted.py"],
    "sksemobridge/_model/decision.py": [
        "tests/model/test_typicality.py",
        "tests/model/test_unlabeled.py",
        "tests/test_fitted.py",
    ],
    "sksemobridge/_model/mixture.py": ["tests/model/test_unlabeled.py"],
    "sksemobridge/_semobridge/": ["tests/semobridge/test_reference.py"],
    "sksemobridge/_fitted.py": ["tests/model/test_reference.py"],
    "sksemobridge/_zero_shot.py": ["tests/model/test_reference.py"],
    "sksemobridge/labelling/_live/page_state.py": ["tests/labelling/live/test_session.py"],
    "sksemobridge/labelling/_live/answered_pictures.py": [
        "tests/labelling/live/test_shown_bursts.py"
    ],
    "sksemobridge/labelling/_answers/evidence.py": ["tests/labelling/answers/test_annotations.py"],
    "sksemobridge/labelling/_answers/event_kinds.py": [
        "tests/labelling/answers/test_annotations.py",
        "tests/labelling/answers/test_answers_file.py",
    ],
}
# What tests load before the package.
LOADED = ["scipy.stats", "sklearn.cluster", "sklearn.linear_model", "sklearn.mixture"]
# Module, its code, and what takes the place of that.
NAMED = [
    ("_model/fit.py", "sharper = 1 + (1 - trust) / classes.mean_count**2", "sharper = 1"),
    (
        "_model/label_noise.py",
        "judged = np.where(is_unusual, 1.0, judged)",
        "pass",
    ),
    (
        "_model/label_noise.py",
        "_name_tells(trust * confirmed)) + ratio",
        "_name_tells(trust)) + ratio",
    ),
    ("_model/near_copies.py", "np.maximum(1 - mean, 0) / 2", "np.maximum(1 - mean, 0)"),
    ("_model/unlabeled.py", "max(KAPPA_IN_SPAN * n_classes, FEW_IMAGES)", "FEW_IMAGES"),
    ("_model/unlabeled.py", "mixture.agreement(logits) ** 2", "1"),
    ("_model/unlabeled.py", "LEAST_P_VALUE / np.sqrt(n_shots)", "LEAST_P_VALUE"),
    ("_model/typicality.py", 'units["images"] *= 2', 'units["images"] *= 4'),
    ("_model/fit.py", "SHOTS_SCALE * np.sqrt(fewest / n)", "SHOTS_SCALE"),
    ("_model/unlabeled.py", "divergence - chance", "divergence"),
    ("labelling/_share_right.py", "DECAY**ages / np", "1 / np"),
    ("labelling/_strangers.py", "cosines[cosines > SAME_COSINE] = -np.inf", "pass"),
    ("labelling/_label_next.py", "np.insert(first, positions, third)", "first"),
    (
        "_semobridge/hyperparameters.py",
        "np.sqrt(factor) * (1.0 if",
        "factor * (1.0 if",
    ),
    (
        "_model/unlabeled.py",
        "return typical_of_names(logsumexp(model.decision(None)(X), axis=1))",
        "return np.ones(len(X), dtype=bool)",
    ),
    ("labelling/_photos/folder_job.py", "teaches &= strangers < 0.5", "pass"),
    (
        "labelling/_answers/evidence.py",
        "if real not in shown and not answer.by_burst",
        "if not answer.by_burst",
    ),
    ("labelling/_answers/event_kinds.py", '"n_columns", "round", "at_random"', '"n_columns"'),
    ("_model/decision.py", "has_only_name=new | self.has_only_name[indices]", "has_only_name=new"),
    (
        "labelling/_suggest_names.py",
        "cosines + _log(self.shares))[:, chosen]",
        "cosines)[:, chosen]",
    ),
    (
        "_semobridge/hyperparameters.py",
        "fold = automatic_hyperparameters(options, ratio, held_out.n_images,",
        "fold = automatic_hyperparameters(options, ratio, count,",
    ),
    ("labelling/_live/page_state.py", "view.learnt, len(snapshot.events), ", "view.learnt, "),
    (
        "labelling/_live/shown_bursts.py",
        "is_left[[number for number in self.unread if number < len(is_left)]]",
        "_",
    ),
    (
        "labelling/_photos/folder_job.py",
        "is_none[is_none] = first_of_each(self.groups[is_none])",
        "pass",
    ),
    ("labelling/_live/answered_pictures.py", "if not (alone or i in named)", "if not alone"),
    (
        "_semobridge/bridged_classes.py",
        "deviations = image_means - image_means.mean(axis=0)",
        "deviations = image_means - image_means[has_text].mean(axis=0)",
    ),
    ("_semobridge/held_out.py", "shots.weight)[rows] * tested[image]", "shots.weight)[rows]"),
    ("_semobridge/held_out.py", "images_of_class(shots, kept)", "images_of_class(shots)"),
    (
        "_semobridge/held_out.py",
        "(images.codes, images.relative)[",
        "(images.codes, images.weight)[",
    ),
    (
        "_semobridge/held_out.py",
        "is_left_out = (fold == 0) & (part <= 0.5)",
        "is_left_out = fold == 0",
    ),
    ("_semobridge/hyperparameters.py", "2 * HALF_AN_IMAGE**2", "1"),
    ("_semobridge/hyperparameters.py", "2 * np.sqrt(error**2", "np.sqrt(error**2"),
    ("_semobridge/training.py", "every[:, -N_DIRECTIONS:]", "every[:, :N_DIRECTIONS]"),
    (
        "_semobridge/training.py",
        "(BIAS_SCALE if texts.embeddings is not None else 1.0)",
        "BIAS_SCALE",
    ),
    ("_model/multilabel.py", "(has_text.sum() + 1)", "has_text.sum()"),
    ("_model/multilabel.py", "& (none <= best)", ""),
    ("_model/multilabel.py", "np.average(own, weights=n_answers)", "own.mean()"),
]

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
FUNCTIONS = {"min": "max", "minimum": "maximum", "argmin": "argmax", "any": "all", "sum": "mean"}
FUNCTIONS |= {other: name for name, other in FUNCTIONS.items() if name != "sum"}


class Mutant(NamedTuple):
    """A change of one part of a file."""

    path: str
    kind: str
    line: int
    start: int  # in bytes of the file
    end: int
    before: str
    after: str


def mutants_of(path, source):
    """All `Mutant` of a module."""
    tree, content = ast.parse(source), source.encode()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    silent = {id(part) for node in ast.walk(tree) if _is_silent(node) for part in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        for kind, part, changed in _changes(node):
            start = starts[part.lineno - 1] + part.col_offset
            end = starts[part.end_lineno - 1] + part.end_col_offset
            before = content[start:end].decode()
            after = ast.unparse(ast.fix_missing_locations(changed))
            if isinstance(part, ast.expr):
                after = f"({after})"
            found.append(Mutant(path, kind, part.lineno, start, end, before, after))
    return found


def _is_silent(node):
    """Whether a part of the code says something and does nothing: types, texts and errors."""
    return isinstance(node, (ast.Raise, ast.JoinedStr, ast.arg, ast.Import, ast.ImportFrom)) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _with(node, **parts):
    """A copy of a node with other parts."""
    return type(node)(**{name: getattr(node, name, None) for name in node._fields} | parts)


def _changes(node):
    """A kind, a part of the code, and what takes its place."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield "comparison", node, _with(node, ops=[COMPARISONS[type(op)]()])
        case ast.BinOp(op=op) if type(op) in OPERATORS:
            yield "operator", node, _with(node, op=OPERATORS[type(op)]())
        case ast.BoolOp(op=op):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "operator", node, _with(node, op=other)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield "sign", node, node.operand
        case ast.Constant(value=bool(value)):
            yield "truth", node, ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield "number", node, ast.Constant(value + 1)
        case ast.Constant(value=float(value)):
            yield "number", node, ast.Constant(2 * value or 1.0)
        case ast.IfExp(test=test) | ast.If(test=test):
            yield "condition", test, ast.UnaryOp(ast.Not(), test)
        case ast.AugAssign() | ast.Expr(value=ast.Call()):
            yield "statement", node, ast.Pass()
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            yield "function", node, _with(node, func=ast.Name(FUNCTIONS[name]))
        case ast.Call(func=ast.Attribute(attr=name) as func) if name in FUNCTIONS:
            yield "function", node, _with(node, func=_with(func, attr=FUNCTIONS[name]))
    if isinstance(node, ast.Call):
        for i in range(len(node.keywords)):
            rest = node.keywords[:i] + node.keywords[i + 1 :]
            yield "argument", node, _with(node, keywords=rest)


def named():
    """The named changes as `Mutant`. Their code must be there exactly once."""
    for path, before, after in NAMED:
        path = f"sksemobridge/{path}"
        content = (ROOT / path).read_bytes()
        if content.count(before.encode()) != 1:
            raise SystemExit(f"{path} must have this code once: {before}")
        start = content.index(before.encode())
        line = content[:start].count(b"\n") + 1
        yield Mutant(path, "named", line, start, start + len(before.encode()), before, after)


def tests_of(path):
    """The tests of a module: those of its own name, and more."""
    folder, name = os.path.split(path.replace("sksemobridge", "tests", 1))
    folder = "/".join(part.removeprefix("_") for part in folder.split("/"))
    own = f"{folder}/test_{name.removeprefix('_')}"
    more = [test for start, tests in MORE_TESTS.items() if path.startswith(start) for test in tests]
    return list(dict.fromkeys(test for test in [*more, own] if (ROOT / test).exists()))


def survives(folder, mutant, seconds):
    """Whether the tests of the module pass in a copy of the repository with this change."""
    file = folder / mutant.path
    content, time = file.read_bytes(), file.stat().st_mtime
    file.write_bytes(content[: mutant.start] + mutant.after.encode() + content[mutant.end :])
    # Else Python would take a change of the same length in the same second for compiled already.
    os.utime(file, (time, time + random.randrange(1, 10**6)))
    try:
        return _passes(folder, tests_of(mutant.path), seconds)
    finally:
        file.write_bytes(content)
        os.utime(file, (time, time))


def _passes(folder, tests, seconds):
    """Whether tests pass in a process of their own, in which other packages are loaded already."""
    process = get_context("fork").Process(target=_run, args=(folder, tests))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def _run(folder, tests):
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="modules, or folders of modules")
    parser.add_argument("--sample", type=int, default=100, help="how many mutants, 100 by default")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--seconds", type=int, default=300, help="a test that takes longer fails")
    args = parser.parse_args()
    if args.files:
        paths = [path for file in args.files for path in sorted(Path(file).rglob("*.py"))]
        paths += [Path(file) for file in args.files if file.endswith(".py")]
        names = [path.resolve().relative_to(ROOT).as_posix() for path in paths]
        every = [m for name in names for m in mutants_of(name, (ROOT / name).read_text("utf-8"))]
        mutants = random.Random(args.seed).sample(every, min(args.sample, len(every)))
    else:
        mutants = [*named()]
    os.environ["SCIPY_ARRAY_API"] = "1"  # as tests/conftest.py
    for name in LOADED:
        import_module(name)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for name in filter(None, listed.stdout.decode().split("\0")):
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, Path(folder) / name)
        tests = sorted({test for mutant in mutants for test in tests_of(mutant.path)})
        if not _passes(Path(folder), tests, 10 * args.seconds):
            raise SystemExit(f"They fail without a change: pytest -x {' '.join(tests)}")
        n_made, n_survived = Counter(mutant.kind for mutant in mutants), Counter()
        for number, mutant in enumerate(mutants, 1):
            if survives(Path(folder), mutant, args.seconds):
                n_survived[mutant.kind] += 1
                where, before = f"{mutant.path}:{mutant.line}", " ".join(mutant.before.split())
                print(f"{number}. {where} survives: {before:.90} -> {mutant.after:.90}", flush=True)
    for kind, n in n_made.most_common():
        print(f"{kind}: {n_survived[kind]} of {n} survive")
    print(f"all: {n_survived.total()} of {len(mutants)} survive")
    return 1 if n_survived.total() and not args.files else 0


if __name__ == "__main__":
    sys.exit(main())
