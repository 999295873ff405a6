"""The program that breaks the package on purpose."""

import ast
import runpy
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / "tools" / "mutants.py"))


def test_the_named_changes_are_of_code_that_is_there_and_has_tests(tool):
    for mutant in tool["named"]():
        assert tool["tests_of"](mutant.path), mutant.path


def test_each_mutant_is_one_change_of_code_that_does_something(tool):
    source = '''"""Text, 1 < 2."""
SIZE = 2.0

def cut(é: int, *, deep=True):
    """More text, 3 + 4."""
    if é < 3 and not deep:
        é += 1
        raise ValueError(f"{é + 5} is wrong")
    return min(é, 6) if deep else sorted([é], key=abs)
'''
    mutants, content = tool["mutants_of"]("x.py", source), source.encode()
    changed = {content[: m.start] + m.after.encode() + content[m.end :] for m in mutants}
    assert len(changed) == len(mutants)
    assert not any(ast.dump(ast.parse(text)) == ast.dump(ast.parse(source)) for text in changed)
    assert Counter(mutant.kind for mutant in mutants) == {
        "number": 4,
        "truth": 1,
        "comparison": 1,
        "operator": 1,
        "sign": 1,
        "condition": 2,
        "statement": 1,
        "function": 1,
        "argument": 1,
    }
    assert not any("5" in mutant.before or "4" in mutant.before for mutant in mutants)
