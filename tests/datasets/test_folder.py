"""Listing a folder of images with one sub-folder per class."""

import os
from itertools import product

import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from sksemobridge.datasets import load_image_folder
from sksemobridge.datasets._folder import COPIES_MARK, list_files


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


def test_each_sub_folder_is_a_class_with_all_below_it(root):
    folder = root("dog/b.png", "dog/2019/may/a.jpg", "dog/a.jpg", "cat/x.jpeg")
    found = load_image_folder(str(folder))
    assert relative(found, folder) == ["cat/x.jpeg", "dog/2019/may/a.jpg", "dog/a.jpg", "dog/b.png"]
    assert_array_equal(found.target, [0, 1, 1, 1])
    assert found.target_names.tolist() == ["cat", "dog"]
    assert found.paths.dtype == object
    assert all(type(text) is str for text in [*found.paths, *found.target_names])


def test_all_common_endings_count_in_any_case(root):
    names = ["a.JPG", "b.jpeg", "c.Png", "d.webp", "e.gif", "f.BMP", "g.tif", "h.tiff", "i.heic"]
    assert len(load_image_folder(root(*[f"cat/{name}" for name in names])).paths) == len(names)


def test_hidden_files_and_folders_are_passed_over_in_silence(root):
    folder = root("cat/1.jpg", "cat/.2.jpg", "cat/.DS_Store", "cat/.thumbs/3.jpg", ".git/4.jpg")
    assert relative(load_image_folder(folder), folder) == ["cat/1.jpg"]


def test_a_file_is_what_its_content_says_and_others_are_counted_in_one_warning(root):
    folder = root("cat/1.jpg", "cat/scan", "cat/notes", "dog/1.jpg", "dog/table.csv", "README.md")
    Image.new("RGB", (8, 8)).save(folder / "cat/scan", format="PNG")
    (folder / "cat/notes").write_text("a note")
    with pytest.warns(UserWarning, match=r"files that are no images \(2\): .*notes.*table.csv") as caught:
        found = load_image_folder(folder)
    assert len(caught) == 1
    assert relative(found, folder) == ["cat/1.jpg", "cat/scan", "dog/1.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this machine makes no pipes")
def test_a_pipe_is_no_image_and_nobody_waits_for_it(root):
    folder = root("cat/1.jpg")
    os.mkfifo(folder / "cat" / "pipe")
    with pytest.warns(UserWarning, match=r"no images \(1\): .*pipe"):
        assert relative(load_image_folder(folder), folder) == ["cat/1.jpg"]


def test_an_empty_name_is_not_the_working_folder(root, monkeypatch):
    monkeypatch.chdir(root("dog/a.jpg"))
    with pytest.raises(FileNotFoundError, match="name of the folder is empty; '.' is the working folder"):
        load_image_folder("")


def test_what_is_no_name_of_a_folder_is_refused():
    with pytest.raises(TypeError, match="as text or a path, not as NoneType"):
        load_image_folder(None)


def test_a_root_of_no_classes_is_an_error(root):
    folder = root("1.jpg", "2.jpg")
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        load_image_folder(folder / "nowhere")
    with pytest.raises(NotADirectoryError, match="is a file"):
        load_image_folder(folder / "1.jpg")
    with pytest.raises(ValueError, match="no sub-folders. Put the images of each class"):
        load_image_folder(folder)
    (folder / "cat").mkdir()
    with pytest.raises(ValueError, match="No sub-folder of .* has images"):
        load_image_folder(folder)


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


@pytest.fixture
def link(root):
    def make(place, target):
        try:
            (root() / place).symlink_to(root() / target, target_is_directory=True)
        except OSError:
            pytest.skip("this machine makes no links")

    return make


def test_links_to_folders_are_followed_and_never_in_circles(root, link):
    folder = root("dog/a.jpg", "cat/x.jpeg", "../elsewhere/b.jpg")
    for place, target in (
        ("dog/more", "../elsewhere"),
        ("dog/back", "dog"),
        ("cat/loop", "."),
        ("../elsewhere/round", "dog"),
    ):
        link(place, target)
    assert relative(load_image_folder(folder), folder) == ["cat/x.jpeg", "dog/a.jpg", "dog/more/b.jpg"]


def test_a_folder_that_many_links_lead_to_counts_once(root, link):
    names = "abcdefg"
    folder = root(*[f"pets/{name}/1.jpg" for name in names])
    for name, other in product(names, names):
        link(f"pets/{name}/to_{other}", f"pets/{other}")
    assert relative(load_image_folder(folder), folder) == [f"pets/{name}/1.jpg" for name in names]


def test_images_that_cannot_be_read_are_passed_over_on_request(root):
    folder = root("dog/a.jpg", "dog/b.png", "cat/x.png")
    for name in ("dog/b.png", "cat/x.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    assert len(load_image_folder(folder).paths) == 3
    with pytest.warns(UserWarning, match=r"images that cannot be read \(1\): .*a.jpg' \(the file is empty\)"):
        found = load_image_folder(folder, check=True)
    assert relative(found, folder) == ["cat/x.png", "dog/b.png"]
    assert_array_equal(found.target, [0, 1])
    (folder / "dog/b.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="dog' has no readable images"):
        load_image_folder(folder, check=True)


@pytest.fixture
def lock(monkeypatch):
    """Take the right to read folders of some name, also from root."""

    def scandir(path, real=os.scandir):
        if os.path.basename(path) in locked:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    locked = set()
    monkeypatch.setattr(os, "scandir", scandir)
    return locked.add


def test_a_folder_that_may_not_be_read_is_counted_and_a_root_is_an_error(root, lock):
    folder = root("dog/a.jpg", "dog/lost+found/b.jpg", "lost+found/b.jpg", "cat/c.jpg")
    lock("lost+found")
    with pytest.warns(UserWarning, match=r"folders that may not be read \(2\): .*lost\+found"):
        assert relative(load_image_folder(folder), folder) == ["cat/c.jpg", "dog/a.jpg"]
    with pytest.warns(UserWarning, match=r"folders that may not be read \(2\)"):
        assert len(list_files(folder)) == 2
    lock("root")
    with pytest.raises(PermissionError, match="root"):
        list_files(folder)


def test_copies_by_label_are_passed_over_below_another_folder(root):
    folder = root("dog/a.jpg", "sorted/dog/a.jpg", f"sorted/{COPIES_MARK}", "cat/c.jpg")
    assert relative(load_image_folder(folder), folder) == ["cat/c.jpg", "dog/a.jpg"]
    assert len(list_files(folder)) == 2
    assert len(list_files(folder / "sorted")) == 1
    assert load_image_folder(folder / "sorted").target_names.tolist() == ["dog"]
