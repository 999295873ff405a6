"""The paper's table, the whole way: made-up data sets in its layouts, through the bundled model."""

import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import paper
import paper_data
import paper_search
import pytest
from PIL import Image

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, Training

PROTOCOL = paper_data.read_protocol()
SPLIT_SETS = [name for name, entry in PROTOCOL["datasets"].items() if entry["split"].endswith(".json")]
NAMES = ["red_heart", "blue square"]
COLOURS = [(220, 30, 40), (30, 60, 220)]
WNIDS = ["n01440764", "n01443537"]
COUNTS = {"train": 3, "val": 2, "test": 2}


def draw(path, label, rng):
    """A picture of noise around the colour of its class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.array(COLOURS[label]) + rng.normal(scale=40, size=(40, 48, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, format="PNG")


def make_split_set(root, name):
    entry, rng = PROTOCOL["datasets"][name], np.random.default_rng(0)
    splits = {part: [] for part in COUNTS}
    for part, count in COUNTS.items():
        for label, text in enumerate(NAMES):
            for i in range(count):
                file = f"{text}/{part}_{i}.jpg"
                draw(root / entry["directory"] / entry["images"] / file, label, rng)
                splits[part].append([file, label, text])
    (root / entry["directory"] / entry["split"]).write_text(json.dumps(splits))


def make_aircraft(root):
    folder, rng = root / "fgvc_aircraft", np.random.default_rng(1)
    folder.mkdir(parents=True)
    (folder / "variants.txt").write_text("\n".join(NAMES) + "\n")
    for part, count in COUNTS.items():
        lines = [f"{part}{label}{i} {text}" for label, text in enumerate(NAMES) for i in range(count)]
        for line in lines:
            draw(folder / "images" / f"{line.split()[0]}.jpg", int(line[len(part)]), rng)
        (folder / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n")


def make_imagenet(root):
    rng = np.random.default_rng(2)
    lines = [f"{wnid} {text}" for wnid, text in zip(WNIDS, NAMES)]
    for label, wnid in enumerate(WNIDS):
        for part, count in (("train", 3), ("val", 2)):
            for i in range(count):
                draw(root / "imagenet" / "images" / part / wnid / f"{i}.jpg", label, rng)
        draw(root / "imagenet-sketch" / "images" / wnid / "0.jpg", label, rng)
        draw(
            root / "imagenetv2" / "imagenetv2-matched-frequency-format-val" / str(label) / "0.jpg", label, rng
        )
        draw(root / "imagenet-rendition" / "imagenet-r" / wnid / "0.jpg", label, rng)
    # Variants may have some of the classes only, and files beside the folders.
    draw(root / "imagenet-adversarial" / "imagenet-a" / WNIDS[1] / "0.jpg", 1, rng)
    (root / "imagenet-adversarial" / "imagenet-a" / "README.txt").write_text("about")
    for folder in ("imagenet", "imagenet-sketch", "imagenetv2", "imagenet-rendition", "imagenet-adversarial"):
        (root / folder / "classnames.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def run(tmp_path):
    """`run(options)` gives the exit status and the rows."""

    def run(*options):
        effort = ["--trials", "3", "--steps", "4", "--device", "cpu", "--cache", str(tmp_path / "cache")]
        files = ["--results", str(tmp_path / "runs.csv"), "--table", str(tmp_path / "table.md")]
        model = ["--model", "mini", "--pretrained", "bundled"]
        status = paper.main(["--root", str(tmp_path / "data"), *model, *effort, *files, *options])
        return status, pd.read_csv(tmp_path / "runs.csv", keep_default_na=False)

    return run


@pytest.mark.parametrize("name", SPLIT_SETS)
def test_every_split_file_is_read_where_the_protocol_puts_it(tmp_path, name):
    make_split_set(tmp_path, name)
    dataset = paper_data.read_dataset(name, tmp_path, PROTOCOL)
    assert dataset.class_names == ["red heart", "blue square"]
    assert [len(images.paths) for images in (dataset.train, dataset.val, dataset.tests[name])] == [6, 4, 4]
    assert all(path.is_file() for path in dataset.train.paths)
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_documentation_names_every_folder_of_the_protocol():
    page = (Path(paper.__file__).parent / "README.md").read_text()
    for name, entry in PROTOCOL["datasets"].items():
        images = "/".join(part for part in (entry["directory"], entry["images"]) if part)
        assert f"| {name} |" in page
        assert f"`{images}/`" in page
        if name in SPLIT_SETS:
            assert f"`{entry['directory']}/{entry['split']}`" in page


def test_a_data_set_is_measured_under_both_protocols(tmp_path, run):
    make_split_set(tmp_path / "data", "EuroSAT")
    status, rows = run("--datasets", "EuroSAT", "--shots", "1", "2", "--seeds", "1", "2")
    assert status == 0
    assert len(rows) == 1 + 2 * 2 * 2 * 2  # zero-shot, and shots x seeds x protocols x methods
    papers = rows[rows.protocol == "paper"]
    assert set(papers.tuned_on) == {"validation split"}
    assert papers[papers.method == "SeMoBridge-T"].best_step.isin(["1", "2", "3", "4"]).all()
    assert set(rows[rows.protocol == "ours"].tuned_on) == {"shots"}
    assert (papers.top1 == 100).all()  # red against blue is easy
    table = (tmp_path / "table.md").read_text()
    assert "## SeMoBridge-T, mini (bundled, templates), 2 shots" in table
    assert "paper's protocol (3 trials, 4 steps)" in table


def test_reported_figures_stand_beside_ours(monkeypatch):
    reported = pd.read_csv(Path(paper.__file__).parent / "paper_results.csv")
    key = {"model": "RN50", "pretrained": "openai", "prompts": "with CuPL", "dataset": "DescribableTextures"}
    key |= {"protocol": "ours", "trials": 0, "steps": 0, "method": "SeMoBridge", "shots": 4}
    rows = [key | {"seed": seed, "top1": f"{60 + seed:.4f}"} for seed in (1, 2, 3)]
    others = [row | {"dataset": "SUN397", "top1": "50.0"} for row in rows[:2]]
    *_, line, incomplete, mean = paper.report(rows + others, reported).splitlines()
    own = reported[(reported.backbone == "RN50") & (reported.shots == 4) & (reported.dataset == "DTD")]
    figure = own[own.method == "SeMoBridge"].top1_percent.item()
    assert line.startswith(f"| DescribableTextures | {figure:.2f}")
    assert "| 62.00 ± 1.00 |" in line
    assert "| 50.00 ± 0.00 (2) |" in incomplete
    assert mean.startswith("| mean of 2 |")
    assert "| 56.00 |" in mean


def test_aircraft_and_imagenet_with_its_variants_are_measured(tmp_path, run):
    make_aircraft(tmp_path / "data")
    make_imagenet(tmp_path / "data")
    status, rows = run("--datasets", "FGVCAircraft", "ImageNet", "--shots", "2", "--seeds", "1")
    assert status == 0
    assert rows.groupby("dataset").size().to_dict() == dict.fromkeys(
        ["FGVCAircraft", "ImageNet", *paper_data.VARIANTS], 5
    )
    imagenet = rows[(rows.dataset == "ImageNet") & (rows.protocol == "paper")]
    assert set(imagenet.tuned_on) == {"test images"}
    assert imagenet[imagenet.method == "SeMoBridge-T"].best_step.tolist() == ["4"]
    # One class only: nothing to confuse it with.
    assert (rows[rows.dataset == "ImageNetA"].top1 == 100).all()


def test_what_is_missing_is_named_and_the_rest_is_run(tmp_path, run, capsys):
    make_split_set(tmp_path / "data", "Food101")
    make_imagenet(tmp_path / "data")
    (tmp_path / "data" / "imagenetv2").rename(tmp_path / "elsewhere")
    options = ["--shots", "1", "--seeds", "1", "--protocols", "ours"]
    status, rows = run("--datasets", "OxfordPets", "Food101", "ImageNet", *options)
    assert status == 1
    assert set(rows.dataset) == {"Food101", "ImageNet", "ImageNetSketch", "ImageNetA", "ImageNetR"}
    errors = capsys.readouterr().err
    assert "OxfordPets: There is no" in errors
    assert "split_zhou_OxfordPets.json" in errors
    assert "ImageNetV2: There is no" in errors


def test_a_missing_image_is_named(tmp_path):
    make_split_set(tmp_path, "DescribableTextures")
    (tmp_path / "dtd" / "images" / "blue square" / "val_1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 images .* 'val_1|1 of 4 images .*val_1.jpg"):
        paper_data.read_dataset("DescribableTextures", tmp_path, PROTOCOL)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ('{"train": [], "val"', "is no split file"),
        ('{"train": [["a.jpg", 0, "cat"]], "val": []}', "KeyError: 'test'"),
        ('{"train": [["a.jpg", "cat"]], "val": [], "test": []}', "image path, label, class name"),
        (
            '{"train": [["a.jpg", 0, "cat"]], "val": [["b.jpg", 0, "dog"]], "test": []}',
            "both 'cat' and 'dog'",
        ),
        ('{"train": [["a.jpg", 0, "cat"]], "val": [], "test": [["b.jpg", 1, "dog"]]}', "labels 0, 1"),
    ],
)
def test_a_wrong_split_file_is_refused(tmp_path, broken, message):
    folder = tmp_path / "sun397"
    folder.mkdir()
    (folder / "split_zhou_SUN397.json").write_text(broken)
    with pytest.raises(ValueError, match=message):
        paper_data.read_dataset("SUN397", tmp_path, PROTOCOL)


def test_an_unknown_variant_of_aircraft_is_refused(tmp_path):
    make_aircraft(tmp_path)
    (tmp_path / "fgvc_aircraft" / "images_variant_val.txt").write_text("val00 zeppelin\n")
    with pytest.raises(ValueError, match="variant 'zeppelin'"):
        paper_data.read_dataset("FGVCAircraft", tmp_path, PROTOCOL)


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, run):
    make_split_set(tmp_path / "data", "Caltech101")
    options = ["--datasets", "Caltech101", "--shots", "1", "2", "--seeds", "1", "--protocols", "ours"]
    _, whole = run(*options)
    lines = whole.assign(seconds="123").to_csv(index=False).splitlines(keepends=True)
    (tmp_path / "runs.csv").write_text("".join(lines[:-2]))
    _, rows = run(*options)
    assert (rows.seconds == 123).tolist() == [True, True, True, False, False]
    pd.testing.assert_frame_equal(rows.drop(columns="seconds"), whole.drop(columns="seconds"))


def test_shots_are_drawn_as_by_the_papers_code():
    labels = np.array([1, 0, 1, 0, 1, 0, 2])
    images = paper_data.Images([f"{i}.jpg" for i in range(7)], labels)
    random.seed(3)
    expected = random.sample([0, 2, 4], 2) + random.sample([1, 3, 5], 2) + [6]
    assert paper_data.draw_shots(images, 2, seed=3) == expected


def test_prompts_are_template_ensemble_and_cupl(tmp_path):
    pets = paper_data.class_prompts("OxfordPets", ["beagle"], PROTOCOL)
    assert pets[0][0] == "a photo of a beagle, a type of pet."
    assert len(pets[0]) == 8
    assert paper_data.class_prompts("EuroSAT", ["forest"], PROTOCOL)[0] == [
        "a centered satellite photo of forest."
    ]
    assert len(paper_data.class_prompts("ImageNet", ["tench"], PROTOCOL)[0]) == 7
    (tmp_path / "eurosat").mkdir()
    (tmp_path / "eurosat" / "cupl_full.json").write_text('{"Annual_Crop": ["Fields.", "Rows."]}')
    prompts = paper_data.class_prompts("EuroSAT", ["annual crop"], PROTOCOL, tmp_path)
    assert prompts[0] == ["a centered satellite photo of annual crop.", "Fields.", "Rows."]
    with pytest.raises(ValueError, match="no sentences for 'river'"):
        paper_data.class_prompts("EuroSAT", ["river"], PROTOCOL, tmp_path)


def test_augmented_copies_follow_the_protocol_and_know_their_image(tmp_path):
    make_split_set(tmp_path, "OxfordFlowers")
    encoder = CLIPImageEncoder("mini", "bundled")
    train = paper_data.read_dataset("OxfordFlowers", tmp_path, PROTOCOL).train
    for k, copies in ((1, 10), (2, 1), (3, 0)):
        X, image = paper_data.embed_shots(encoder, train.paths, "OxfordFlowers", k, PROTOCOL, seed=1)
        assert len(X) == len(image) == 6 * (1 + copies)
        assert np.bincount(image).tolist() == [1 + copies] * 6
        np.testing.assert_array_equal(X[:6], encoder.transform(train.paths))
    flipped = paper_data.embed_shots(encoder, train.paths, "OxfordFlowers", 2, PROTOCOL, seed=1)[0][6:]
    mirrored = [np.asarray(Image.open(path))[:, ::-1].copy() for path in train.paths]
    np.testing.assert_allclose(flipped, encoder.transform(mirrored), atol=1e-4)
    first, again = (
        paper_data.embed_shots(encoder, train.paths, "OxfordFlowers", 1, PROTOCOL, seed=s)[0] for s in (1, 1)
    )
    np.testing.assert_array_equal(first, again)


@pytest.fixture
def problem():
    """Shots, validation images, and the paper's classifier, unfitted."""
    rng = np.random.default_rng(0)
    text_encoder = CLIPTextEncoder("mini", "bundled")
    prompts = {0: ["a dog"], 1: ["a cat"], 2: ["a car"]}
    texts = text_encoder.transform([texts[0] for texts in prompts.values()])
    y = np.repeat([0, 1, 2], 4)
    X = texts[y] + rng.normal(scale=texts.std(), size=(12, texts.shape[1]))
    queries = texts[y] + rng.normal(scale=2 * texts.std(), size=(12, texts.shape[1]))
    classifier = paper_search.paper_classifier(text_encoder, prompts)
    return classifier, X.astype(np.float32), y, queries.astype(np.float32)


def test_validation_scores_as_the_classifier_does(problem):
    classifier, X, y, queries = problem
    for params in ({}, {"solver": Training("adamw", max_iter=3, device="cpu")}):
        classifier.set_params(**params).fit(X, y)
        validation = paper_search.Validation(classifier, queries, y, "cpu")
        step = paper_search.Step.of(classifier, "cpu")
        affinities = validation.affinities(step.bridge, step.prototypes)
        for z, expected in zip(affinities, classifier.affinities(queries).values()):
            np.testing.assert_allclose(z.numpy(), expected, atol=1e-5)
        settings = {"alpha": 3.0, "beta": 9.0, "gamma": 0.5, "lambda1": 0.2, "lambda2": 0.9, "lambda3": 0.4}
        settings["smoothness"] = 1.2
        accuracy = validation.accuracy(affinities, settings)
        numbers = {f"blend__{name}": value for name, value in settings.items()}
        assert accuracy == pytest.approx(classifier.set_params(**numbers).fit(X, y).score(queries, y))


def test_the_best_step_is_that_of_a_classifier_trained_for_so_many_steps(problem):
    classifier, X, y, queries = problem
    validation = paper_search.Validation(classifier.fit(X, y), queries, y, "cpu")
    classifier.set_params(solver=Training("adamw", max_iter=8, learning_rate=0.05, device="cpu"))
    step = paper_search.best_step(classifier, X, y, validation)
    scores = []
    for n in range(1, 9):
        classifier.set_params(solver__max_iter=n).fit(X, y)
        scores.append(classifier.score(queries, y))
        if n == step.number:
            np.testing.assert_allclose(step.bridge.numpy(), classifier.bridge_, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(step.prototypes.numpy(), classifier.prototypes_, atol=1e-5)
    assert step.number == 1 + int(np.argmax(scores))


def test_the_search_never_ends_below_where_it_began(problem):
    classifier, X, y, queries = problem
    validation = paper_search.Validation(classifier.fit(X, y), queries, y, "cpu")
    step = paper_search.Step.of(classifier, "cpu")
    settings = paper_search.search(step, validation, 5, PROTOCOL["search"]["ranges"], seed=1)
    assert set(settings) == set(PROTOCOL["search"]["ranges"])
    affinities = validation.affinities(step.bridge, step.prototypes)
    assert validation.accuracy(affinities, settings) >= validation.accuracy(affinities, paper_search.INITIAL)
