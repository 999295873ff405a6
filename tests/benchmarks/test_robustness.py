"""Each case of shots that are not as they should be runs, and finds what is planted."""

import numpy as np
import pytest
import robustness
import search
import speed

from .task_files import write_task


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def rows(tmp_path, capsys):
    """`rows(case, options)` gives a dictionary for each row of the table, by the first cell."""
    for name in ("one", "two"):
        write_task(tmp_path / f"{name}.npz", [20] * 4, kind=name)

    def run(case, *options):
        arguments = [case, "--tasks", str(tmp_path), "--shots", "2", "--draws", "2", "--jobs", "1"]
        robustness.main([*arguments, *options])
        head, _, *lines = map(cells, capsys.readouterr().out.splitlines())
        return {line[0]: dict(zip(head[1:], line[1:])) for line in lines}

    return run


def accuracy(cell):
    return float(cell.split(" (")[0])


def test_distinct_images_are_no_copies_and_groups_give_what_the_shots_alone_give(rows):
    found = rows("copies", "--cosines", "0.999")["2, cosine 0.999"]
    assert found["distinct"] == "0.0"
    assert accuracy(found["with groups"]) == pytest.approx(accuracy(found["without copies"]), abs=2)


@pytest.mark.parametrize("options", [[], ["--without-text"]])
def test_wrong_labels_are_planted_at_each_rate(rows, options):
    found = rows("labels", *options)
    rates = [f"2, {rate} {kind}" for kind in ("any", "alike") for rate in ("10%", "20%", "40%")]
    assert list(found) == ["2, 0%", *rates]
    assert found["2, 0%"]["wrong are doubted"] == "-"


@pytest.mark.parametrize(
    ("case", "row", "columns"),
    [
        (
            "minorities",
            "13 to 3",
            {"trusted", "trusted, smaller", "default", "default, smaller", "doubted"},
        ),
        ("names", "2", {"default", "names alone", "without text"}),
        ("slip", "3 answers", {"names alone", "without it", "all right", "one wrong"}),
        ("page", "first page", {"names alone", "answered"}),
        ("uneven", "1 and 16", {"shots", "names alone"}),
        ("occasions", "of one occasion, 10 % strangers", {"2 shots"}),
        ("answered", "4 answered", {"names alone", "1 a class", "all answers"}),
        (
            "nameless",
            "only these, 2",
            {"default", "default, nameless", "all names", "all names, nameless"},
        ),
        ("few-classes", "all x 2", {"without text", "LogisticRegression"}),
        ("terms", "text + shots + correction", {"2 shots"}),
        (
            "p-values",
            "2",
            {f"{what}, {alpha}" for what in ("mean of classes", "images") for alpha in (0.05, 0.2)},
        ),
    ],
)
def test_each_case_has_its_columns(rows, case, row, columns):
    found = rows(case)[row]
    assert set(found) == columns
    assert all(0 <= accuracy(cell) <= 100 for cell in found.values())


def test_strangers_are_near_or_far_and_known_images_are_turned_away_as_rarely_as_promised(rows):
    found = rows("strangers")["2"]
    assert float(found["near, score_samples"]) > 90
    shares = [float(found[f"p at most {alpha}"]) for alpha in (0.01, 0.05, 0.1)]
    assert shares == sorted(shares)


def test_a_search_is_measured_with_words_that_name_no_class(tmp_path, capsys):
    path = write_task(tmp_path / "task.npz", [8] * 3)
    words = {"texts": [f"a word {i}" for i in range(39)] + ["a thing 1"]}
    np.savez(tmp_path / "words.npz", **words, text=np.random.default_rng(1).normal(size=(40, 12)))
    words = str(tmp_path / "words.npz")
    search.main(["--tasks", str(path), "--vocabulary", words, "--jobs", "1"])
    head, _, line = map(cells, capsys.readouterr().out.splitlines())
    found = dict(zip(head, line))
    assert list(found) == ["set", "raw", "centred", "PCA", "words", "class names", "paper"]
    # In the span of the class texts nothing but the classes is left.
    assert float(found["class names"]) >= float(found["raw"])


def test_words_that_name_a_class_are_left_out_however_written():
    words = ["a tench", "a T-shirt", "a fire truck", "an owl", "a flower"]
    vocabulary = {"texts": np.array(words), "text": np.eye(5, dtype=np.float32)}
    kept = search.tasks.without_own_names(vocabulary, ["0 tench", "T-shirts", "fire_truck", "Owl"])
    np.testing.assert_array_equal(kept, [[0, 0, 0, 0, 1]])


def test_each_stage_and_each_solver_is_timed(capsys):
    small = ["--sizes", "3x2", "--width", "16", "--repeats", "1"]
    speed.main([*small, "--folders", "60x3"])
    table, folders = capsys.readouterr().out.split("\n\n")
    names = [cells(line)[2] for line in table.splitlines()[2:]]
    assert names == ["fit", "fit without names", "predict_proba", "predict_proba of SeMoBridge"]
    assert [cells(line)[0] for line in folders.splitlines()[2:]] == ["60 x 3"]
    speed.main([*small, "--threads"])
    names = [cells(line)[1] for line in capsys.readouterr().out.splitlines()[2:]]
    of_encoder = [f"encoder, {n} images" for n in speed.N_IMAGES]
    assert names == ["fit", "with_unlabeled", "predict_proba", "LogisticRegression", *of_encoder]
    speed.main(["--training", "emoji", "--shots", "1"])
    rows = [cells(line) for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:3] for row in rows] == [
        ["emoji", "29 x 1", solver] for solver in ("closed_form", "lbfgs", "adamw")
    ]
