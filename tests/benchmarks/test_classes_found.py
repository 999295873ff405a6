"""Which classes are found by names."""

import classes_found
import numpy as np

from .task_files import write_task

WORDS = [f"a thing {c}" for c in range(6)] + [f"a word {c}" for c in range(14)]


def test_classes_are_found_without_their_own_names(tmp_path, capsys):
    path = write_task(tmp_path / "task.npz", [20] * 6, noise=1.1)
    centres, rng = np.load(path)["text"], np.random.default_rng(1)
    other = centres[:4] + 0.3 * rng.normal(size=(4, 12)), rng.normal(size=(10, 12))
    np.savez(tmp_path / "words.npz", texts=WORDS, text=np.vstack([centres, *other]))
    classes_found.main(["--tasks", str(path), "--vocabulary", "words.npz", "--jobs", "1"])
    line = capsys.readouterr().out.splitlines()[-1]
    name, *numbers, first = [cell.strip() for cell in line.strip("|").split("|")]
    assert name == "task"
    found = [int(cell.split(" of ")[0]) for cell in numbers]
    assert found == sorted(found)
    assert found[-1] >= 4  # four classes have a synonym
    assert all(cell.endswith(" of 6") for cell in numbers)
    assert "thing" not in first
    assert "word" in first
