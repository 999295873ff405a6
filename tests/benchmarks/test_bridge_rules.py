"""The program that switches off each rule of SeMoBridgeClassifier."""

import bridge_rules
import numpy as np

from .task_files import write_task


def test_a_rule_has_a_row_for_each_solver_and_an_interrupted_run_goes_on(
    tmp_path, capsys, monkeypatch
):
    path = write_task(tmp_path / "task.npz", [24] * 4, noise=1.0)
    arguments = ["--tasks", str(path), "--draws", "1", "--jobs", "1", "--groups", "uneven"]
    bridge_rules.main(arguments)
    printed = capsys.readouterr().out
    of_rules, of_classifiers = (
        [line.strip("| ").split(" | ") for line in part.splitlines()[2:]]
        for part in printed.split("\n\n")
    )
    rows = [line[1] for line in of_rules if line[0] == "factors of unequal counts"]
    assert rows == [*bridge_rules.BRIDGES]
    assert {line[-1] for line in of_rules} == {"- (-)"}  # equal shots, which have no rows here
    assert [line[0] for line in of_classifiers] == [*bridge_rules.CASES["uneven"]] * 2
    # A run that has all rows needs no draw.
    monkeypatch.setattr(bridge_rules, "one_draw", None)
    bridge_rules.main(arguments)
    assert capsys.readouterr().out == printed


def test_each_rule_is_of_code_that_is_there():
    task = bridge_rules.tasks.made_up(4, 3, 16, 12)
    drawn = bridge_rules.draw(task, "equal", "equal", 1, 0)
    for name, (_, *switches) in bridge_rules.RULES.items():
        for where, attribute, value in (switch for switch in switches if len(switch) == 3):
            assert callable(getattr(where, attribute)) == callable(value), name
        for method in bridge_rules.BRIDGES:
            assert bridge_rules.fitted(task, drawn, method, switches)


def test_a_case_makes_a_draw_worse():
    task = bridge_rules.tasks.made_up(10, 4, 16, 60)
    as_it_is = bridge_rules.draw(task, "equal", "equal", 1, 0)
    for group, cases in bridge_rules.CASES.items():
        for case in cases:
            drawn = bridge_rules.draw(task, group, case, 1, 0)
            is_same = all(map(np.array_equal, drawn, as_it_is))
            assert is_same == (group == "equal"), case
    exchanged = bridge_rules.draw(task, "names", "a fifth of the names exchanged", 1, 0)
    assert np.mean(exchanged.y != as_it_is.y) == 0.2
    assert np.mean(exchanged.y_queries != as_it_is.y_queries) > 0.1
    mislabelled = bridge_rules.draw(task, "names", "labels of a fifth exchanged", 1, 0)
    assert np.array_equal(mislabelled.y, exchanged.y)
    assert np.array_equal(mislabelled.y_queries, as_it_is.y_queries)
