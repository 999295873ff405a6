"""Which pictures are one burst: by the times in them, or by a table."""

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from sksemobridge.labelling import label_folder, predict_folder, proba_by_group
from sksemobridge.labelling._messages import UsageError
from sksemobridge.labelling._photos.picture_bursts import count_bursts, find_bursts, groups_of

from ...user_folder import CLASSES, SHOTS, fitted_to_shots, rows_of

GRAY = Image.new("RGB", (8, 8), "gray")


def take(path, time=None, fraction=None, offset=None, maker="Reconyx", number=None, picture=GRAY):
    """A picture as a camera writes it."""
    exif = Image.Exif()
    given = {
        Base.DateTimeOriginal: time,
        Base.SubsecTimeOriginal: fraction,
        Base.OffsetTimeOriginal: offset,
        Base.BodySerialNumber: number,
    }
    exif.get_ifd(IFD.Exif).update({tag: value for tag, value in given.items() if value is not None})
    exif[Base.Make], exif[Base.Model] = maker, "HF2"
    # Pillow writes a part of Exif into TIFF only where it has read it.
    exif.load(exif.tobytes())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, exif=exif)


def bursts(given, photos="photos"):
    """Names of the files of each burst that is larger than one."""
    paths = sorted(str(path) for path in Path(photos).rglob("*") if path.is_file())
    found = defaultdict(list)
    for real, burst in find_bursts(given, photos, paths).items():
        found[burst].append(Path(real).relative_to(Path(photos).resolve()).as_posix())
    return sorted(map(sorted, found.values()))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_burst_goes_on_while_the_next_picture_comes_in_time(here):
    for second in (0, 2, 4, 5, 9):
        take(f"photos/{second}.jpg", f"2026:05:01 10:00:0{second}")
    assert bursts(2) == [["0.jpg", "2.jpg", "4.jpg", "5.jpg"]]
    assert bursts("1.5") == [["4.jpg", "5.jpg"]]
    assert bursts(4) == [["0.jpg", "2.jpg", "4.jpg", "5.jpg", "9.jpg"]]
    assert bursts(0) == []


def test_fractions_of_seconds_and_offsets_count(here):
    take("photos/a.jpg", "2026:05:01 10:00:00", "90")
    take("photos/b.jpg", "2026:05:01 10:00:01", "1 ")
    take("photos/c.jpg", "2026:05:01 10:00:02", "05")
    assert bursts(0.5) == [["a.jpg", "b.jpg"]]
    # The clock is set back one hour, and the camera says so.
    take("photos/winter/a.jpg", "2026:10:25 02:59:59", offset="+02:00")
    take("photos/winter/b.jpg", "2026:10:25 02:00:00", offset="+01:00")
    assert bursts(1, "photos/winter") == [["a.jpg", "b.jpg"]]


def test_each_camera_and_folder_has_bursts_of_its_own(here):
    for name in ("a", "b", "other/a", "other/b"):
        take(f"photos/{name}.jpg", "2026:05:01 10:00:00")
        take(f"photos/{name} of another maker.jpg", "2026:05:01 10:00:00", maker="Bushnell")
        take(f"photos/{name} of a twin.jpg", "2026:05:01 10:00:00", number="2")
    assert len(bursts(0)) == 6
    assert {len(burst) for burst in bursts(0)} == {2}


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_all_kinds_of_pictures_say_when_they_were_taken(here, kind):
    for name in "ab":
        take(f"photos/{name}.{kind}", "2026:05:01 10:00:00")
    assert bursts(0) == [[f"a.{kind}", f"b.{kind}"]]


def test_pictures_without_a_time_are_counted_and_by_themselves(here):
    for i, time in enumerate([None, "0000:00:00 00:00:00", "    :  :     :  :  ", "", "soon"]):
        take(f"photos/{i}.jpg", time)
    GRAY.save("photos/plain.png")
    take("photos/a.jpg", "2026:05:01 10:00:00")
    take("photos/b.jpg", "2026:05:01 10:00:01")
    Path("photos/notes.txt").write_text("no picture")
    with pytest.warns(UserWarning, match=r"a burst by itself \(6 of 8\): "):
        assert bursts(1) == [["a.jpg", "b.jpg"]]


def write_table(*lines):
    Path("bursts.csv").write_text("\n".join(["path,burst", *lines]), "utf-8")
    return "bursts.csv"


@pytest.fixture
def frames(here):
    for name in ("a", "b", "c", "film/1", "film/2"):
        Path("photos/film").mkdir(parents=True, exist_ok=True)
        GRAY.save(f"photos/{name}.png")


def test_a_table_names_pictures_in_photos_from_here_or_absolute_also_after_a_move(frames):
    moved = Path("/elsewhere/photos/film/2.png")
    here = Path("photos/film/1.png")
    table = write_table("a.png,x", "photos/b.png,x", "c.png,", f"{here.absolute()},7", f"{moved},7")
    assert bursts(table) == [["a.png", "b.png"], ["film/1.png", "film/2.png"]]
    # The order of the columns is free, as are others and what separates them.
    Path("other.csv").write_text("Burst;note;Path\nx;;a.png\nx;;c.png\n")
    assert bursts("other.csv") == [["a.png", "c.png"]]


def test_pictures_that_are_gone_are_passed_over_with_a_note(frames):
    lines = "a.png,x", "b.png,x", "gone.png,x", "\0,x"  # the last one is no path at all
    with pytest.warns(UserWarning, match=r"there \(2\): gone.png, .* start from PHOTOS, '"):
        assert bursts(write_table(*lines)) == [["a.png", "b.png"]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("soon", "'soon' is neither a number of seconds"),
        ("-1", "'-1' is neither"),
        ("nan", "'nan' is neither"),
        ("nowhere.csv", "'nowhere.csv'"),
        (["a.png,x", "./a.png,y"], "'./a.png' in two bursts, 'x' and 'y'"),
        (["gone.png,x"], r"names no image in PHOTOS; .* \(such as 'gone.png'\)"),
    ],
)
def test_what_does_not_fit_is_said(frames, given, message):
    with pytest.raises(UsageError, match=f"--bursts: .*{message}"):
        bursts(given if isinstance(given, str) else write_table(*given))


def test_missing_columns_are_named(frames):
    for text in ("file,burst\n", "path\na.png", ""):
        Path("bursts.csv").write_text(text)
        with pytest.raises(UsageError, match="has no column '(path|burst)'"):
            bursts("bursts.csv")


def test_counts_are_read_easily():
    assert count_bursts(np.arange(1870) % 412) == "412 bursts, 1,870 pictures"
    assert count_bursts(np.array([3])) == "1 burst, 1 picture"
    assert groups_of(None, ["a"]) is None
    assert groups_of({"a": 1, "c": 1}, ["a", "b", "c"]).tolist() == [0, 1, 0]


@pytest.fixture
def table(place):
    """All pictures of `more` are one burst, with other pictures than in `photos`."""
    return write_table(*(f"more/{name}.png,film" for name in CLASSES))


def test_without_the_option_nothing_is_grouped_and_with_it_a_burst_has_one_label(label, table):
    label(f"{SHOTS} --out a.csv")
    _, said = label(f"{SHOTS} --out b.csv --bursts {table} --report b.html")
    alone, together = ({row["path"]: row for row in rows_of(path)} for path in ("a.csv", "b.csv"))
    film = [os.path.join("photos", "more", f"{name}.png") for name in CLASSES]
    assert len({alone[path]["label"] for path in film}) == 3
    assert len({(together[path]["label"], together[path]["probability"]) for path in film}) == 1
    others = [path for path in alone if path not in film]
    assert [alone[path] for path in others] == [together[path] for path in others]
    assert "4 bursts, 6 pictures." in said
    assert "Of the 6 predicted labels (4 bursts), about" in said
    assert "4 bursts, 6 pictures." in Path("b.html").read_text("utf-8")


def test_where_each_picture_is_by_itself_no_byte_of_the_table_is_another(label):
    label(f"{SHOTS} --out a.csv")
    label(f"{SHOTS} --out b.csv --bursts {write_table('bird.png,x')}")
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()


def test_a_saved_classifier_takes_bursts_too(label, table):
    label(f"{SHOTS} --out a.csv --save a.joblib")
    _, said = label(f"photos --model-file a.joblib --out b.csv --bursts {table}")
    assert "4 bursts, 6 pictures." in said
    found = predict_folder(fitted_to_shots(), "photos", bursts=table, progress=False)
    assert found["label"].fillna("").tolist() == [row["label"] for row in rows_of("b.csv")]


def test_the_probabilities_of_a_burst_are_those_of_its_pictures_together(place, table):
    alone = label_folder("photos", classes=CLASSES, model="mini")
    together = label_folder("photos", classes=CLASSES, model="mini", bursts=Path(table))
    paths = [f"photos/more/{name}.png" for name in CLASSES]
    proba = proba_by_group(alone.pipeline.predict_proba(paths), [0] * 3).max(axis=1)
    rows = together.table.set_index("path").loc[paths]
    assert rows["probability"].to_numpy() == pytest.approx(proba)


def test_shots_of_a_burst_are_one_image(place):
    shots = [f"shots/bird/{i}.png" for i in range(4)]
    table = write_table(*(f"{path},film" for path in shots))
    given = {"shots": "shots", "model": "mini"}
    labelled = label_folder("photos", **given, bursts=table)
    classifier = labelled.pipeline[-1]
    memory = classifier._fitted.memory
    is_bird = memory.shots.codes == [*classifier.classes_].index("bird")
    assert len({*memory.grouped_shots.group[is_bird]}) == 1
    assert len({*memory.grouped_shots.group[~is_bird]}) == 8
    # They are held out together, and then only the name is known.
    assert len(np.unique(labelled.evaluation.held_out_proba[:4], axis=0)) == 1
