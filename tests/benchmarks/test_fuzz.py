"""A short run of random damage; `benchmarks/fuzz.py` makes long ones."""

import fuzz
import pytest


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_random_damage_gives_no_crash_no_wrong_row_and_starts_nothing():
    results = fuzz.run(pictures=200, files=50, writers=3, caches=10, fits=60, shots=40, folders=20)
    for part, counts in results.items():
        for what, count in counts.items():
            if what in ("crashes", "lost", "programs and connections") or "wrong" in what:
                assert not count, f"{count} {what} of {part}"
    assert results["pictures"]["refused"] > 20 < results["pictures"]["read"]
    assert results["files"]["refused"] == 50
    assert results["shots"]["fits"] == 40
    assert results["fits"]["learnt"] > 10 < results["fits"]["refused"]
