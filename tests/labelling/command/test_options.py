"""What a user asks: declared once, and read without anything heavy."""

import argparse
import subprocess
import sys
from dataclasses import fields

import pytest

from sksemobridge.labelling._command.options import LabelOptions, add_options, flag, read_options
from sksemobridge.labelling._messages import UsageError


def read(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_options(parser.parse_args(["photos", "--out", "a.csv", *arguments]))


def test_what_is_not_said_is_as_in_python():
    assert read() == LabelOptions(photos="photos", out="a.csv")


def test_each_option_has_a_help_and_comes_back():
    for option in fields(LabelOptions):
        assert option.metadata["help"]
        value = {bool: True, float: 0.5}.get(type(option.default), "x")
        if option.name not in ("photos", "out"):
            said = [] if value is True else [str(value)]
            asked = read(flag(option.name), *said)
            assert getattr(asked, option.name) == ((value,) if option.default == () else value)
    assert read("--model", "a", "--model", "b").model == ("a", "b")


@pytest.mark.parametrize("name", ["shots", "alpha"])
def test_no_value_takes_the_place_of_another(name, capsys):
    with pytest.raises(SystemExit):
        read(flag(name), "0", flag(name), "0")
    assert f"argument {flag(name)}: it is given twice; give it once" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", LabelOptions.__dataclass_fields__["model_file"].metadata["excludes"]
)
def test_what_does_not_go_with_a_fitted_classifier_is_refused(name):
    options = LabelOptions(photos="photos", model_file="a.skops", **{name: "x"})
    with pytest.raises(UsageError, match=f"{flag(name)} does not go with --model-file: its class"):
        options.check()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["label", "--help"],
        ["--version"],
        ["label"],
        ["label", "no_such_folder", "--classes", "a, b"],
    ],
)
def test_help_and_wrong_arguments_import_neither_numpy_nor_scikit_learn(arguments):
    program = f"""
import sys
from sksemobridge.__main__ import main
sys.argv[1:] = {arguments}
try:
    main()
except SystemExit:
    print(sorted({{"numpy", "sklearn", "scipy", "PIL", "torch"}} & {{*sys.modules}}))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"
