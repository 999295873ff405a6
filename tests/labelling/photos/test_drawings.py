"""Photographs are told from drawn icons, so that the model mini says nothing of how right it is."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import label_folder
from sksemobridge.labelling._photos.drawings import are_icons

from ...user_folder import SHOTS


def photograph(seed):
    """A picture with coarse parts of many colours, as photographs have."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_icons_have_a_border_of_one_colour(tmp_path, ending):
    icons = load_emoji().images[::40]
    paths = [str(tmp_path / f"{i}.{ending}") for i in range(len(icons))]
    for path, icon in zip(paths, icons):
        Image.fromarray(icon).save(path)
    assert are_icons(paths)
    photographs = [str(tmp_path / f"photo{i}.{ending}") for i in range(9)]
    for i, path in enumerate(photographs):
        photograph(i).save(path)
    assert not are_icons(photographs)
    # A few drawings among photographs, and files that cannot be read, say nothing.
    assert not are_icons([*photographs, *paths[:5], "gone.png"])
    assert are_icons(["gone.png"])


def test_the_model_mini_gives_no_estimate_of_photographs(label):
    _, said = label(f"{SHOTS} --out icons.csv")
    assert "are right, if every image is of these classes" in said
    for i in range(9):
        photograph(i).save(f"photos/more/photo{i}.png")
    for path in Path("photos").glob("*.png"):
        path.unlink()
    _, said = label(f"{SHOTS} --out photos.csv")
    assert "are right, if" not in said
    assert "How many labels are right is not estimated: these are no drawn icons." in said
    assert label_folder("photos", shots="shots", model="mini").estimate is None
