"""Files of tasks from folders and from made-up data sets in the layouts of the paper, through the
bundled model.
"""

import json
from dataclasses import replace
from pathlib import Path

import few_shot
import make_task
import numpy as np
import pytest
import tasks
from PIL import Image

NAMES = ["red_heart", "blue square"]
WNIDS = ["n01440764", "n01443537"]
COUNTS = {"train": 3, "val": 2, "test": 2}


def draw(path, label, rng):
    """A picture of noise around the colour of its class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = [(220, 30, 40), (30, 60, 220)][label]
    pixels = np.array(colour) + rng.normal(scale=40, size=(40, 48, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, format="PNG")


def make_data_set(root, name):
    folder, images, _ = make_task.DATA_SETS[name]
    folder, rng = root / folder, np.random.default_rng(0)
    rows = [
        (part, label, f"{part}{label}{i}")
        for part, n in COUNTS.items()
        for label in (0, 1)
        for i in range(n)
    ]
    folder.mkdir(parents=True)
    if name == "ImageNet":
        for part, label, file in rows:
            if part != "val":
                source = "val" if part == "test" else part
                draw(folder / images / source / WNIDS[label] / f"{file}.JPEG", label, rng)
        (folder / "classnames.txt").write_text("".join(f"{w} {n}\n" for w, n in zip(WNIDS, NAMES)))
        return
    for _, label, file in rows:
        draw(folder / images / f"{file}.jpg", label, rng)
    if name == "FGVCAircraft":
        (folder / "variants.txt").write_text("\n".join(NAMES) + "\n")
        for part in COUNTS:
            lines = [f"{file} {NAMES[label]}\n" for of, label, file in rows if of == part]
            (folder / f"images_variant_{part}.txt").write_text("".join(lines))
        return
    splits = {
        part: [[f"{file}.jpg", label, NAMES[label]] for of, label, file in rows if of == part]
        for part in COUNTS
    }
    (folder / f"split_zhou_{name}.json").write_text(json.dumps(splits))


@pytest.fixture
def make(tmp_path, capsys):
    """`make(arguments)` gives the task of the file that is made."""

    def make(*arguments):
        output = tmp_path / "task.npz"
        model = ["--model", "mini", "--pretrained", "bundled", "--cache", str(tmp_path / "cache")]
        make_task.main([*map(str, arguments), *model, "--output", str(output)])
        assert str(output) in capsys.readouterr().out
        return tasks.from_npz(output)

    return make


@pytest.mark.parametrize("name", make_task.DATA_SETS)
def test_every_data_set_is_read_where_the_documentation_puts_it(tmp_path, name):
    make_data_set(tmp_path, name)
    paths, labels, parts, texts = make_task.read_data_set(name, tmp_path)
    assert texts == NAMES
    counts = COUNTS | ({"val": 0} if name == "ImageNet" else {})
    assert {part: (parts == part).sum() for part in COUNTS} == {
        part: 2 * n for part, n in counts.items()
    }
    assert all(Path(path).is_file() for path in paths)
    assert all(str(label) in Path(path).stem for path, label in zip(paths, labels))
    page = (Path(make_task.__file__).parent / "README.md").read_text()
    folder, images, _ = make_task.DATA_SETS[name]
    assert f"| {name} | `{folder}/" in page
    assert f"`{'/'.join(filter(None, (folder, images)))}/" in page


def test_a_data_set_of_the_paper_is_compared_with_its_accuracies(tmp_path, make, capsys):
    make_data_set(tmp_path / "data", "EuroSAT")
    (tmp_path / "texts" / "eurosat").mkdir(parents=True)
    sentences = {"Red Heart": ["a heart that is red."], "blue square": ["a square."]}
    (tmp_path / "texts" / "eurosat" / "cupl_full.json").write_text(json.dumps(sentences))
    task = make(tmp_path / "data", "--data-set", "EuroSAT", "--cupl", tmp_path / "texts")
    assert task.prompts["red heart"] == [
        "a centered satellite photo of red heart.",
        "a heart that is red.",
    ]
    assert (task.name, task.model) == ("EuroSAT", "mini bundled")
    arguments = [
        "--tasks",
        str(tmp_path / "task.npz"),
        "--shots",
        "2",
        "--draws",
        "1",
        "--jobs",
        "1",
    ]
    methods = [
        "--methods",
        "FewShotClassifier",
        "SeMoBridge (closed form)",
        "--results",
        str(tmp_path / "rows.csv"),
    ]
    few_shot.main([*arguments, *methods])
    # Red against blue is easy.
    assert capsys.readouterr().out.count("| 100.0 ± ") >= 2


def test_a_folder_gives_the_embeddings_of_the_package_and_again_from_the_cache(tmp_path, make):
    rng = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        for i in range(4):
            draw(tmp_path / "pictures" / name / f"{i}.png", label, rng)
    task = make(tmp_path / "pictures", "--template", "a picture of a {}.")
    assert task.name == "pictures"
    assert task.part is None
    assert sorted(task.prompts.values()) == [
        ["a picture of a blue square."],
        ["a picture of a red heart."],
    ]
    few = make(tmp_path / "pictures", "--most", "2")
    assert len(few.X) == 4
    assert (few.X[:, None] == task.X).all(axis=2).any(axis=1).all()
    assert len(few.prompts["red heart"]) == len(make_task.ENSEMBLE)


def make_test_set(root, name, folders):
    """Two test images of each class of ImageNet, and the names of these."""
    folder, images, _ = make_task.TEST_SETS[name]
    folder, rng = root / folder, np.random.default_rng(1)
    for label, of_class in enumerate(folders):
        for i in range(2):
            draw(folder / images / of_class / f"{i}.jpeg", label, rng)
    (folder / "classnames.txt").write_text("".join(f"{w} {n}\n" for w, n in zip(WNIDS, NAMES)))


@pytest.mark.parametrize(
    ("name", "folders"), [("ImageNetV2", ["0", "1"]), ("ImageNetSketch", WNIDS)]
)
def test_shots_of_imagenet_are_tested_on_other_sets(tmp_path, make, capsys, name, folders):
    make_data_set(tmp_path, "ImageNet")
    make_test_set(tmp_path, name, folders)
    make(tmp_path, "--data-set", "ImageNet")
    (tmp_path / "task.npz").rename(tmp_path / "imagenet.npz")
    other = make(tmp_path, "--data-set", name)
    assert set(other.part) == {"test"}
    task = tasks.from_npz(tmp_path / "imagenet.npz").tested_on(other)
    shots, queries = task.draw(2, seed=0)
    assert len(shots) == len(queries) == 4
    np.testing.assert_array_equal(task.X[queries], other.X)
    files = ["--tasks", str(tmp_path / "imagenet.npz"), "--test-task", str(tmp_path / "task.npz")]
    options = ["--shots", "2", "--draws", "1", "--jobs", "1", "--methods", "FewShotClassifier"]
    few_shot.main([*files, *options, "--results", str(tmp_path / "rows.csv")])
    page = capsys.readouterr().out
    assert f"| ImageNet to {name} | mini bundled | 2 | 2 | 4 | 1 |" in page
    task = tasks.from_npz(tmp_path / "imagenet.npz")
    with pytest.raises(SystemExit, match="has classes that ImageNet lacks: cow"):
        task.tested_on(replace(other, y=np.array(["cow"] * 4)))
    with pytest.raises(SystemExit, match="both need one model"):
        task.tested_on(replace(other, model="another"))


def test_all_data_sets_are_made_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in make_task.DATA_SETS:
        make_data_set(tmp_path, name)
    model = ["--model", "mini", "--pretrained", "bundled", "--cache", str(tmp_path / "cache")]
    make_task.main([str(tmp_path), "--data-set", "all", *model])
    assert {path.name for path in tmp_path.glob("*.npz")} == {
        f"{name}_mini.npz" for name in make_task.DATA_SETS
    }
