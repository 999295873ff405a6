"""Public functions and methods say what they take and what they give."""

import importlib
import inspect

import pytest

# Of numpydoc: a parameter without a description, one that is not there, no description of the
# result, no docstring.
CODES = {"PR01", "PR02", "RT01", "GL08"}

RESULTS = {"LabelledFolder", "ShotEvaluation", "SuggestedName", "ShareRight"}


def public(module):
    """Names of the functions and classes of a module, and of the own methods of these.

    The attributes of a result are no parameters, since users do not make it.
    """
    for name in importlib.import_module(module).__all__:
        found = getattr(importlib.import_module(module), name)
        if name not in RESULTS and not inspect.ismodule(found):
            yield f"{module}.{name}"
        if inspect.isclass(found):
            for method, function in inspect.getmembers(found, inspect.isroutine):
                of = getattr(function, "__module__", None) or ""
                if not method.startswith("_") and of.startswith("sksemobridge"):
                    yield f"{module}.{name}.{method}"


@pytest.mark.parametrize("module", ["", ".encoders", ".datasets", ".distributed"])
def test_what_is_public_says_what_it_takes_and_gives(module):
    validate = pytest.importorskip("numpydoc.validate", reason="needs numpydoc").validate
    if module == ".distributed":
        pytest.importorskip("pyarrow", reason="needs pyarrow")
    wrong = {}
    for name in public(f"sksemobridge{module}"):
        errors = [error for error in validate(name)["errors"] if error[0] in CODES]
        if errors:
            wrong[name] = errors
    assert wrong == {}
