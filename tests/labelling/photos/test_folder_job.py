"""What the command learns from a folder and a person's corrections, and what it says of it."""

import os
import shutil
from pathlib import Path

import numpy as np

from sksemobridge import CLIPImageEncoder, FewShotClassifier, ImagePipeline, make_few_shot_pipeline
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import label_next
from sksemobridge.labelling._answers.events import Event, PictureEvent
from sksemobridge.labelling._answers.history import fold
from sksemobridge.labelling._command.options import LabelOptions
from sksemobridge.labelling._command.read_folder import read_job
from sksemobridge.labelling._photos.folder_job import FolderJob
from sksemobridge.labelling._photos.labelled_images import LabelledImages
from sksemobridge.labelling._photos.picture_index import Pictures
from sksemobridge.labelling._strangers import strangers_and_typical

from ...user_folder import CLASSES, SHOTS, link, rows_of

CORRECTED = f"{SHOTS} --out b.csv --corrections corrections.csv"


def corrections(*lines):
    Path("corrections.csv").write_text("\n".join(lines))


def rows_by_path(table):
    return {Path(row["path"]).as_posix(): row for row in rows_of(table)}


def test_the_command_says_how_good_the_classifier_is(label):
    wrong = Path("shots/fruit/wrong.png")
    os.rename("shots/bird/0.png", wrong)
    _, said = label(f"{SHOTS} --out a.csv")
    assert "12 shots of 3 classes: bird 3, clock 4, fruit 5\n" in said
    assert "Held-out shots predicted right: " in said
    assert f"1 shot with a doubtful label: {wrong} (fruit, looks like bird)" in said
    assert "same picture" not in said
    corrections(f"{wrong},fruit")
    first, copy = Path("shots/clock/0.png"), Path("shots/fruit/also.png")
    shutil.copy(first, copy)
    _, said = label(CORRECTED)
    assert "No label looks doubtful, which does" in said or f"doubtful label: {copy} " in said
    assert f"The same image twice: {copy} (fruit) and {first} (clock)" in said


def test_clicks_are_on_hard_images_so_that_they_are_no_measure(label):
    corrections(*(f"{path},fruit" for path in sorted(Path("photos").iterdir())[:2]))
    _, said = label(
        "photos --classes bird,clock,fruit --out a.csv --model mini --corrections corrections.csv"
    )
    assert "of 3 classes: " in said
    assert "Held-out" not in said


def test_how_many_are_right_is_said_from_five_labels_on(label):
    given = "photos --classes bird,clock,fruit --model mini --corrections corrections.csv"
    paths = [f"photos/{folder}{name}.png" for name in CLASSES for folder in ("", "more/")]
    for n_labels in (0, 4):
        corrections("path,label", *(f"{path},{Path(path).stem}" for path in paths[:n_labels]))
        _, said = label(f"{given} --out {n_labels}.csv")
        assert "are right, if" not in said
        assert "names alone may mislead. Label five images: with --open, --shots or" in said
    corrections("path,label", *(f"{path},{Path(path).stem}" for path in paths[:5]))
    assert "are right, if every image is of these classes" in label(f"{given} --out 5.csv")[1]


def test_corrections_are_further_shots_and_take_shots_back(label):
    os.rename("shots/bird/0.png", "shots/fruit/wrong.png")
    os.rename("shots/bird/1.png", "shots/fruit/wrong too.png")
    corrections(
        "path,label",
        "photos/bird.png,bird",
        "shots/fruit/wrong.png,",
        "shots/fruit/wrong too.png,bird",
        "shots/clock/0.png,clock",
        "photos/more/clock.png,",
    )
    _, said = label(CORRECTED)
    assert "12 shots of 3 classes: bird 4, clock 4, fruit 4" in said
    assert "so that only a check at random says how many labels are right" in said
    rows = rows_by_path("b.csv")
    assert (rows["photos/bird.png"]["label"], rows["photos/bird.png"]["probability"]) == (
        "bird",
        "1.0000",
    )
    assert rows["photos/more/clock.png"]["problem"] == "none of these"


def test_corrections_may_bring_a_class_and_images_elsewhere(label):
    corrections("photos/fruit.png,apple")
    Path("names.csv").write_text("apple,a red apple\n")
    assert (
        "Note: New classes by your answers or corrections: apple"
        in label(f"{CORRECTED} --names names.csv")[1]
    )
    assert rows_by_path("b.csv")["photos/fruit.png"]["label"] == "apple"
    elsewhere = CORRECTED.replace("photos", "photos/more").replace("b.csv", "c.csv")
    _, said = label(f"{elsewhere} --classes apple")
    assert "New classes" not in said
    assert "13 shots of 4 classes: apple 1" in said


def test_names_that_the_model_may_not_know_and_those_that_say_little_are_told(label):
    Path("names.csv").write_text("bird,clock face\nclock,fruit bowl\nfruit,bird nest\n")
    said = label(f"{SHOTS} --out c.csv --names names.csv")[1]
    assert "the names of the classes say little to the model" in said
    os.rename("shots/bird", "shots/Vögel")
    os.rename("shots/clock", "shots/A113")
    assert "Names that the model may not know (2): A113, Vögel." in label(f"{SHOTS} --out a.csv")[1]
    Path("names.csv").write_text("Vögel,bird\nA113,clock\n", encoding="utf-8")
    assert "may not know" not in label(f"{SHOTS} --out b.csv --names names.csv")[1]


def test_where_no_shot_is_left_the_names_label(label):
    corrections(*(f"{path}," for path in Path("shots").rglob("*.png")))
    status, said = label(CORRECTED)
    assert status == 1  # photos/broken.jpg
    assert "the names of 3 classes alone" in said
    assert {row["label"] for row in rows_of("b.csv")} == {*CLASSES, ""}


def test_a_class_whose_shots_cannot_be_read_is_known_by_its_name(label):
    for path in Path("shots/bird").iterdir():
        path.write_bytes(b"no image")
    status, said = label(f"photos/more {SHOTS.removeprefix('photos')} --out a.csv")
    assert status == 0
    assert said.count("Skipped the shot") == 4
    assert "predicted by their names alone (1): bird" in said


def test_a_correction_is_for_all_links_to_its_file(label):
    link(Path("shots/bird/0.png").absolute(), "shots/fruit/link.png")
    corrections("shots/bird/0.png,")
    assert "11 shots of 3 classes: bird 3, clock 4, fruit 4" in label(CORRECTED)[1]


def job_of_60_emoji(own, bursts=None):
    """A job of 12 pictures of each of five kinds, of which `own` are classes; their kinds."""
    emoji, pipeline = load_emoji(), make_few_shot_pipeline("mini", "bundled")
    kinds = emoji.target_names[emoji.target]
    wanted = ["clock", "heart", "bird", "building", "mammal"]
    rows = np.concatenate([np.flatnonzero(kinds == kind)[:12] for kind in wanted])
    X = pipeline[:-1].transform(emoji.images[rows])
    paths = [f"{row}.png" for row in rows]
    pictures = Pictures({"photos": ""}, {"photos": paths})
    if bursts is not None:
        bursts = {real: bursts(row) for row, real in enumerate(map(os.path.realpath, paths))}
    parts = {"shots": LabelledImages.none(X), "classes": own, "bursts": bursts}
    return FolderJob(pipeline, paths, {}, X, pictures, **parts), kinds[rows]


def test_a_job_keeps_its_names_when_the_folder_is_read_anew_with_others(place):
    options = LabelOptions(photos="photos", shots="shots", names="names.csv")
    pipeline = make_few_shot_pipeline("mini", "bundled")
    jobs = []
    for name in ("a hen", "a duck"):
        Path("names.csv").write_text(f"bird,{name}\n")
        jobs.append(read_job(options, None, lambda paths: pipeline)[0])
    found = [job.pipeline[-1].class_names["bird"] for job in jobs]
    assert found == ["a hen", "a duck"]


def said_of(job, labels, taught=True):
    """What a person said: labels by path."""
    pictures = (PictureEvent(path, label=label, taught=taught) for path, label in labels.items())
    events = [Event("page", pictures=tuple(pictures))]
    return fold(events, job.pictures.finder(events), job.classes)


def test_what_to_label_next_is_found_without_teaching_again(monkeypatch):
    job, kinds = job_of_60_emoji(["clock", "heart", "bird", "building", "mammal"])
    learnt = job.fit(said_of(job, dict.fromkeys(job.paths[:5], kinds[0])))
    expected = label_next(learnt.classifier, job.embeddings).tolist()
    monkeypatch.setattr(FewShotClassifier, "with_unlabeled", None)
    assert learnt.to_label()[:20] == expected


def test_none_of_these_teaches():
    own = ["clock", "heart"]
    job, kinds = job_of_60_emoji(own)
    paths, is_own = job.paths, np.isin(kinds, own)

    def has_label(labels):
        rows = job.fit(said_of(job, labels)).rows
        return np.array([row["label"] is not None for row in rows])

    assert has_label({}).all()
    few = dict.fromkeys(np.array(paths)[~is_own][::6].tolist(), "")
    assert has_label(few)[is_own].mean() > 0.9
    assert has_label(few)[~is_own].mean() < 0.3


def test_of_a_burst_of_none_of_these_one_picture_teaches():
    own = ["clock", "heart"]
    job, kinds = job_of_60_emoji(own, bursts=lambda row: row // 4)
    first = np.flatnonzero(~np.isin(kinds, own))[0]

    def strangers(n):
        return job.fit(said_of(job, dict.fromkeys(job.paths[first : first + n], ""))).strangers

    assert strangers(1).any()
    np.testing.assert_array_equal(strangers(4), strangers(1))


def labels_after(job, *pages):
    """The labels of a job after pages of none of these."""
    events = [
        Event("page", id, pictures=tuple(PictureEvent(p, label="", taught=True) for p in page))
        for id, page in enumerate(pages, start=1)
    ]
    return job.fit(fold(events, job.pictures.finder(events), job.classes))


def test_none_of_these_on_one_page_count_as_the_root_of_their_number():
    own = ["clock", "heart", "bird", "mammal"]
    job, kinds = job_of_60_emoji(own)
    paths = np.array(job.paths)[np.isin(kinds, own)][:9].tolist()
    one_page = labels_after(job, paths).strangers
    single = labels_after(job, *([path] for path in paths)).strangers
    is_none = np.isin(job.paths, paths)
    classifier = job.fit(said_of(job, {})).classifier
    examples = job.embeddings, job.embeddings[is_none]
    np.testing.assert_allclose(one_page, strangers_and_typical(classifier, *examples, 1 / 3)[0])
    np.testing.assert_allclose(single, strangers_and_typical(classifier, *examples, 1.0)[0])


def test_a_page_of_none_of_these_teaches_as_other_pictures_where_names_fit_it(monkeypatch):
    monkeypatch.setattr("sksemobridge.labelling._photos.folder_job.LEAST_POOL", 10)
    job, _ = job_of_60_emoji(["clock", "heart", "bird", "mammal"])
    classifier = labels_after(job).classifier
    is_fit = strangers_and_typical(classifier, job.embeddings, job.embeddings[:1], 1.0)[1]
    page = [*np.array(job.paths)[is_fit][:6], *np.array(job.paths)[~is_fit][:6]]
    is_on_page = np.isin(job.paths, page)
    learnt = labels_after(job, page)
    assert len(page) == 12
    is_other = ~is_on_page & (learnt.strangers < 0.5)
    np.testing.assert_array_equal(
        learnt.taught_by, np.flatnonzero(is_other | (is_on_page & is_fit))
    )
    # One by one they are no slip.
    learnt = labels_after(job, *([path] for path in page))
    is_other = ~is_on_page & (learnt.strangers < 0.5)
    np.testing.assert_array_equal(learnt.taught_by, np.flatnonzero(is_other))


def test_pictures_that_are_likely_none_of_these_teach_nothing(monkeypatch):
    monkeypatch.setattr("sksemobridge.labelling._photos.folder_job.LEAST_POOL", 10)
    own = ["clock", "heart", "bird"]
    job, kinds = job_of_60_emoji(own)
    said = dict.fromkeys(np.array(job.paths)[~np.isin(kinds, own)][::6].tolist(), "")
    learnt = job.fit(said_of(job, said))
    is_strange, is_open = learnt.strangers >= 0.5, ~np.isin(job.paths, list(said))
    assert (is_strange & is_open).sum() > 5
    np.testing.assert_array_equal(learnt.taught_by, np.flatnonzero(is_open & ~is_strange))


def test_an_answer_that_does_not_teach_fixes_the_table_and_is_in_no_pool():
    job, kinds = job_of_60_emoji(["clock", "heart", "bird", "building", "mammal"])
    labels = dict.fromkeys(job.paths[12:15], "clock")
    taught, said = (job.fit(said_of(job, labels, taught)) for taught in (True, False))
    for learnt in (taught, said):
        assert [learnt.rows[row]["label"] for row in (12, 13, 14)] == ["clock"] * 3
        assert not {12, 13, 14} & {*np.asarray(learnt.taught_by).tolist()}
    assert len(taught.shots.labels) == 3
    assert len(said.shots.labels) == 0
    silent = job.fit(said_of(job, {}))
    assert np.abs(said.proba - silent.proba).max() < np.abs(taught.proba - silent.proba).max()


def test_models_without_text_need_shots_of_each_class(label, monkeypatch):
    def make(*_, encoder_params, **params):
        images = CLIPImageEncoder("mini", "bundled", **encoder_params)
        return ImagePipeline(
            [("images", images), ("classifier", FewShotClassifier(class_names="ignore"))]
        )

    monkeypatch.setattr(
        "sksemobridge.labelling._command.pipeline_of_options.make_few_shot_pipeline", make
    )
    status, said = label(f"{SHOTS} --classes heart --out a.csv")
    assert status == 2
    assert "--model: mini cannot read names" in said
    assert "give --shots of heart" in said
    corrections("photos/bird.png,")
    label(f"{CORRECTED} --report b.html")
    assert rows_by_path("b.csv")["photos/bird.png"]["problem"] == "none of these"
    assert {row["label"] for row in rows_of("b.csv")} >= {"clock", "fruit"}
