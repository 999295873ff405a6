from datetime import date

import pytest

pytest.importorskip("ray")
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from sksemobridge.distributed._output import OutputFolder  # noqa: E402


class TestOutputFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        folder = OutputFolder(tmp_path / "out", ["key"])
        folder.claim({"model": "a"})
        return folder

    def test_rows_written_twice_are_there_once(self, folder, tmp_path):
        for table in (pa.table({"key": ["a", "b"]}), pa.table({"key": ["b", "a"]})):
            folder.write_part(table)
        assert len(list(tmp_path.rglob("*.parquet"))) == 1

    @pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
    def test_a_file_is_there_as_a_whole_or_not_at_all(self, folder, tmp_path, monkeypatch, error):
        def write_half(table, stream):
            stream.write(b"PAR1")
            raise error

        monkeypatch.setattr(pq, "write_table", write_half)
        with pytest.raises(type(error)):
            folder.write_part(pa.table({"key": ["a"]}))
        assert list(tmp_path.rglob("*.parquet")) == []

    def test_a_job_of_another_model_is_refused(self, folder):
        folder.claim({"model": "a"})
        with pytest.raises(
            ValueError, match="results of another job: its 'model' is a, that of this job is b"
        ):
            folder.claim({"model": "b"})

    def test_a_job_whose_classes_are_dates_is_known_again(self, tmp_path):
        dates = OutputFolder(tmp_path / "dates", ["key"])
        for _ in range(2):
            dates.claim({"classes": [date(2024, 1, 1), date(2025, 1, 1)]})

    def test_foreign_files_are_refused(self, tmp_path):
        pq.write_table(pa.table({"key": [1]}), tmp_path / "mine.parquet")
        with pytest.raises(ValueError, match="of another origin"):
            OutputFolder(tmp_path, ["key"]).claim({})

    def test_one_job_at_a_time_writes_to_an_output(self, tmp_path):
        first, second = (OutputFolder(tmp_path / "out", ["key"]) for _ in range(2))
        with first.locked(), pytest.raises(RuntimeError, match="Another job is writing to .*out"):
            second.locked().__enter__()
        with second.locked():
            second.claim({"model": "a"})
