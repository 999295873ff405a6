"""The paper's comparison by one command, on small made-up data sets of its layout."""

import json

import few_shot
import few_shot_methods
import make_task
import paper
import pytest

from .test_make_task import NAMES, make_data_set

MODEL = ["--backbones", "mini", "--pretrained", "bundled"]


@pytest.fixture
def data(tmp_path):
    for name in make_task.DATA_SETS:
        make_data_set(tmp_path / "data", name)
    for folder, _, _ in make_task.DATA_SETS.values():
        sentences = {name.replace("_", " "): [f"It shows a {name}."] for name in NAMES}
        path = tmp_path / "texts" / folder / "cupl_full.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(sentences))
    return tmp_path


def test_a_dry_run_says_what_is_missing(data, capsys):
    (data / "data/eurosat/split_zhou_EuroSAT.json").unlink()
    (data / "texts/dtd/cupl_full.json").write_text("{}")
    paper.main([*folders(data), "--dry-run"])
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert "split_zhou_EuroSAT.json" in lines.pop("EuroSAT")
    assert "has no sentences for 'red heart'" in lines.pop("DescribableTextures")
    assert lines.keys() == make_task.DATA_SETS.keys() - {"EuroSAT", "DescribableTextures"}
    assert {*lines.values()} == {"ready"}
    assert not (data / "out").exists()


def folders(data):
    parts = {"--data": "data", "--cupl": "texts", "--out": "out"}
    return [word for option, name in parts.items() for word in (option, str(data / name))]


def test_all_eleven_run_and_a_run_that_was_stopped_goes_on(data, monkeypatch, capsys):
    monkeypatch.setattr(few_shot_methods, "STEPS", 2)
    few = [few_shot_methods.ZERO_SHOT, few_shot_methods.OURS, few_shot_methods.TRAINED_TUNED]
    monkeypatch.setattr(few_shot, "NAMES", few)
    few = ["--shots", "1", "--draws", "1", "--jobs", "1"]
    paper.main([*folders(data), *MODEL, *few, "--data-sets", "OxfordPets", "Food101"])
    before = (data / "out/results.csv").read_text()
    paper.main([*folders(data), *MODEL, *few])
    after = (data / "out/results.csv").read_text()
    assert after.startswith(before)
    assert {line.split(",")[1] for line in after.splitlines()[1:]} == {*make_task.DATA_SETS}
    page = (data / "out/paper.md").read_text()
    assert "SeMoBridge-T (trained), tuned" in page
    assert not [*(data / "out").glob("*.part.npz")]
    assert "hours left" in capsys.readouterr().err


def test_a_run_does_not_begin_without_all_its_files(data):
    (data / "data/eurosat/split_zhou_EuroSAT.json").unlink()
    with pytest.raises(SystemExit, match="not ready"):
        paper.main([*folders(data), *MODEL])
