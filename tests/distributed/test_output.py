import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sksemobridge.distributed._output import OutputFolder, hash_keys


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    def write_half(table, path):
        path.write_bytes(b"PAR1")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", write_half)
    with pytest.raises(OSError, match="disk full"):
        OutputFolder(tmp_path, ["key"]).write_part(pa.table({"key": ["a"]}))
    assert list(tmp_path.rglob("*.parquet")) == []


def test_foreign_files_are_refused(tmp_path):
    pq.write_table(pa.table({"key": [1]}), tmp_path / "mine.parquet")
    with pytest.raises(ValueError, match="of another origin"):
        OutputFolder(tmp_path, ["key"]).claim({})


def test_keys_do_not_depend_on_how_arrow_holds_them():
    texts, numbers = pa.array(["a", None, "a"]), [1, None, -3]
    assert hash_keys(texts).tolist() == hash_keys(texts.dictionary_encode()).tolist()
    assert (
        hash_keys(pa.array(numbers, pa.int32())).tolist() == hash_keys(pa.array(numbers)).tolist()
    )
