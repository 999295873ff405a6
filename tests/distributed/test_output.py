import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sksemobridge.distributed._output import OutputFolder


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch, error):
    def write_half(table, stream):
        stream.write(b"PAR1")
        raise error

    folder = OutputFolder(tmp_path / "out", ["key"])
    folder.claim({})
    monkeypatch.setattr(pq, "write_table", write_half)
    with pytest.raises(type(error)):
        folder.write_part(pa.table({"key": ["a"]}))
    assert list(tmp_path.rglob("*.parquet")) == []


def test_foreign_files_are_refused(tmp_path):
    pq.write_table(pa.table({"key": [1]}), tmp_path / "mine.parquet")
    with pytest.raises(ValueError, match="of another origin"):
        OutputFolder(tmp_path, ["key"]).claim({})
