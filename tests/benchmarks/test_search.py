"""Search among images and among texts."""

import search


def test_images_and_texts_are_searched_by_each_way(capsys):
    search.main(["--tasks", "emoji", "--jobs", "1"])
    images, texts = capsys.readouterr().out.split("\n\n")
    assert images.startswith("| set | raw | centred | PCA | words | class names | paper |")
    assert texts.startswith("| set | raw | centred | paper |")
    for table in (images, texts):
        values = [float(cell) for cell in table.strip().splitlines()[-1].split("|")[2:-1]]
        assert all(20 < value < 60 for value in values)
