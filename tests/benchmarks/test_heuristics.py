"""The program that switches off each heuristic of the model."""

import heuristics

from .task_files import write_task


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_heuristic_has_a_row_and_an_interrupted_run_goes_on(tmp_path, capsys, monkeypatch):
    path = write_task(tmp_path / "task.npz", [8] * 4)
    arguments = ["--tasks", str(path), "--shots", "1", "--draws", "2", "--jobs", "1"]
    arguments += ["--cases", "shots", "names", "--without", "texts may not help", "near copies"]
    arguments += ["--results", str(tmp_path / "results")]
    heuristics.main(arguments)
    table = capsys.readouterr().out
    head, _, *lines = map(cells, table.splitlines())
    assert head == ["heuristic", *heuristics.GROUPS, "most", "least"]
    assert [line[0] for line in lines] == ["texts may not help", "near copies"]
    assert lines[1][1:5] == ["+0.00 ± 0.00", "+0.00 ± 0.00", "-", "-"]
    # A run that has all rows needs no draw.
    monkeypatch.setattr(heuristics, "one_draw", None)
    heuristics.main(arguments)
    assert capsys.readouterr().out == table


def test_each_heuristic_is_of_code_that_is_there():
    task, args = heuristics.tasks.made_up(3, 2, 16, 9), heuristics.Namespace(shots=[2])
    for name, switches in heuristics.SWITCHES.items():
        for where, attribute, value in switches:
            assert callable(getattr(where, attribute)) == callable(value), name
        assert heuristics.one_draw(name, "shots", task, 0, args)


def test_a_folder_of_clicks_gets_better():
    rows = heuristics.of_clicks(heuristics.tasks.made_up(4, 4, 16, 24), 0)
    assert [row[0] for row in rows] == list("01234")
    assert rows[-1][1] > rows[0][1]
