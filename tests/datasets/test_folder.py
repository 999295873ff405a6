"""Listing a folder of images with one sub-folder per class."""

import os

import pytest
from PIL import Image

from sksemobridge.datasets import is_image, list_files, load_image_folder
from sksemobridge.datasets._folder import COPIES_MARK

from ..user_folder import link

ENDINGS = ["a.JPG", "b.jpeg", "c.Png", "d.webp", "e.gif", "f.BMP", "g.tif", "h.tiff", "i.heic"]


@pytest.fixture
def root(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "root"

    return make


def relative(found, root):
    return [os.path.relpath(path, root).replace(os.sep, "/") for path in found.paths]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (
            ["dog/b.png", "dog/2019/may/a.jpg", "dog/a.jpg", "cat/x.jpeg"],
            ["cat/x.jpeg", "dog/2019/may/a.jpg", "dog/a.jpg", "dog/b.png"],
        ),
        ([f"cat/{name}" for name in ENDINGS], [f"cat/{name}" for name in ENDINGS]),
        # Hidden files and folders are left out without a warning, and so are copies by label.
        (
            ["cat/1.jpg", "cat/.2.jpg", "cat/.DS_Store", "cat/.thumbs/3.jpg", ".git/4.jpg"],
            ["cat/1.jpg"],
        ),
        (["cat/1.jpg", "sorted/cat/1.jpg", f"sorted/{COPIES_MARK}"], ["cat/1.jpg"]),
    ],
)
def test_each_sub_folder_is_a_class_with_all_images_below_it(root, names, found):
    folder = root(*names)
    images = load_image_folder(str(folder))
    assert relative(images, folder) == found
    assert images.target_names[images.target].tolist() == [name.split("/")[0] for name in found]
    assert images.paths.dtype == object
    assert all(type(text) is str for text in [*images.paths, *images.target_names])


def test_copies_by_label_are_found_in_the_folder_that_is_named(root):
    folder = root("cat/1.jpg", "sorted/cat/1.jpg", f"sorted/{COPIES_MARK}")
    assert load_image_folder(folder / "sorted").target_names.tolist() == ["cat"]
    assert (len(list_files(folder)), len(list_files(folder / "sorted"))) == (1, 1)


def test_a_file_is_what_its_content_says_and_others_are_counted_in_one_warning(root):
    folder = root("cat/1.jpg", "cat/scan", "cat/notes", "dog/1.jpg", "dog/table.csv", "README.md")
    Image.new("RGB", (8, 8)).save(folder / "cat/scan", format="PNG")
    (folder / "cat/notes").write_text("a note")
    with pytest.warns(
        UserWarning, match=r"files that are no images \(2\): .*notes.*table.csv"
    ) as caught:
        found = load_image_folder(folder)
    assert len(caught) == 1
    assert relative(found, folder) == ["cat/1.jpg", "cat/scan", "dog/1.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this machine makes no pipes")
def test_notes_on_a_file_that_is_not_there_are_a_file(tmp_path):
    for name in ("a.png", "a.png.xmp", "b.png.xmp"):
        (tmp_path / name).write_text("some text")
    assert list_files(tmp_path) == [str(tmp_path / name) for name in ("a.png", "b.png.xmp")]


def test_a_large_image_without_an_ending_is_one_without_a_warning(tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "large", "PNG")
    assert is_image(tmp_path / "large")


def test_a_pipe_is_no_image_and_nobody_waits_for_it(root):
    folder = root("cat/1.jpg")
    os.mkfifo(folder / "cat" / "pipe")
    with pytest.warns(UserWarning, match=r"no images \(1\): .*pipe"):
        assert relative(load_image_folder(folder), folder) == ["cat/1.jpg"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("", FileNotFoundError, "''"),
        (None, TypeError, "not NoneType"),
        (5, TypeError, "int"),
        ("nowhere", FileNotFoundError, "'nowhere'"),
        ("dog/a.jpg", NotADirectoryError, "'dog/a.jpg'"),
        ("dog", ValueError, "no sub-folders. Put .* give it to sksemobridge.labelling.predict"),
        ("empty", ValueError, "No sub-folder of .* has images"),
    ],
)
def test_a_root_of_no_classes_is_an_error(root, monkeypatch, name, error, message):
    monkeypatch.chdir(root("dog/a.jpg", "empty/cat/.hidden"))
    with pytest.raises(error, match=message):
        load_image_folder(name)


def test_a_class_without_images_and_images_without_a_class_are_named(root):
    folder = root("dog/1.jpg", "owl/1.jpg", "2.jpg")
    (folder / "cat").mkdir()
    with pytest.warns(UserWarning, match="Passed over in") as caught:
        found = load_image_folder(folder)
    assert found.target_names[found.target].tolist() == ["dog", "owl"]
    empty, loose = (str(warning.message) for warning in caught)
    assert "sub-folders without images (1)" in empty
    assert "cat" in empty
    assert "lie in no sub-folder, and so are of no class (1)" in loose
    assert "2.jpg" in loose


def test_links_to_folders_are_followed_and_never_in_circles(root):
    folder = root("dog/a.jpg", "cat/x.jpeg", "../elsewhere/b.jpg")
    link(folder / "../elsewhere", folder / "dog/more")
    link(folder / "dog", folder / "dog/back")
    link(folder, folder / "cat/loop")
    link(folder / "dog", folder / "../elsewhere/round")
    assert relative(load_image_folder(folder), folder) == [
        "cat/x.jpeg",
        "dog/a.jpg",
        "dog/more/b.jpg",
    ]


@pytest.mark.parametrize(
    ("folder", "n_files"), [("..", 2), ("../../root", 2), ("../dog", 1), ("../cat/../dog", 1)]
)
def test_a_folder_may_be_named_from_within(root, monkeypatch, folder, n_files):
    monkeypatch.chdir(root("dog/a.jpg", "cat/x.jpeg") / "dog")
    assert len(list_files(folder)) == n_files
    assert relative(load_image_folder(".."), "..") == ["cat/x.jpeg", "dog/a.jpg"]


def test_a_folder_that_may_not_be_read_is_counted_and_a_root_is_an_error(root, monkeypatch):
    # Also root must not read them.
    def scandir(path, real=os.scandir):
        if os.path.basename(path) in locked:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    locked = {"lost+found"}
    folder = root("dog/a.jpg", "dog/lost+found/b.jpg", "lost+found/b.jpg", "cat/c.jpg")
    for find in (load_image_folder, list_files):
        with pytest.warns(UserWarning, match=r"folders that may not be read \(2\): .*lost\+found"):
            find(folder)
    locked.add("root")
    with pytest.raises(PermissionError, match="root"):
        list_files(folder)
