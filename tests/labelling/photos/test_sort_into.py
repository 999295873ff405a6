"""Names of the sub-folders into which images are sorted."""

from sksemobridge.labelling._photos.sort_into import folder_names


def test_names_of_folders_hold_on_every_system():
    labels = ["Bird", "bird", "a/b", "a_b", "..", "x:y", "trailing. ", "", 3]
    names = folder_names(labels)
    assert list(names) == labels
    assert len({name.casefold() for name in names.values()}) == len(labels)
    assert (names["Bird"], names[3]) == ("Bird", "3")
    for name in names.values():
        assert not set(name) & set('\\/:*?"<>|')
        assert name == name.strip(". ")
        assert name
