import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose
from pyarrow import fs
from sklearn.linear_model import LogisticRegression

from sksemobridge import make_semobridge_pipeline
from sksemobridge.distributed import _sources, embed_dataset, predict_dataset

from .helpers import ENCODER, MINI, N_PICTURES, ONE, assert_whole, read

ray = pytest.importorskip("ray")
# Ray has its own, of deprecated parts and of actors that so small a job does not keep busy.
pytestmark = pytest.mark.filterwarnings("default")


class TestSources:
    def test_a_folder(self, embedded, pictures):
        output, report = embedded
        assert (report.n_rows, report.n_new) == (N_PICTURES, N_PICTURES)
        assert (report.n_before, report.n_errors) == (0, 1)
        assert len(list(output.glob("*.parquet"))) > 1
        assert_whole(output, pictures)

    def test_links_in_a_folder_or_pattern_lead_nowhere_twice(self, cluster, pictures, tmp_path):
        (tmp_path / "a").mkdir()
        files = [str(shutil.copy(pictures / "000.png", tmp_path / name)) for name in ("_0.png", "a/1.png")]
        for link in ("x", "y", "a/z"):
            (tmp_path / link).symlink_to(tmp_path)
        for source in (tmp_path, tmp_path / "**" / "*.png"):
            rows = _sources.open_source(source, None, None).rows
            assert rows["path"].to_pylist() == files

    def test_a_path_that_no_file_can_have_is_a_row_with_an_error(self, cluster, tmp_path):
        pq.write_table(pa.table({"file": ["a\0.png", "a" * 9999, None]}), tmp_path / "in.parquet")
        report = embed_dataset(tmp_path / "in.parquet", tmp_path / "out", ENCODER, image_column="file", **ONE)
        assert (report.n_rows, report.n_errors) == (3, 3)
        assert pq.read_table(tmp_path / "out")["file_size"].null_count == 3

    def test_tables_at_an_address(self, tmp_path, monkeypatch):
        bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
        finder = SimpleNamespace(from_uri=lambda name: (bucket, name.removeprefix("s3://")))
        monkeypatch.setattr(_sources.fs, "FileSystem", finder)
        names = "in/b.parquet in/a.parquet in/_temporary/c.parquet in/.hidden/d.parquet i/1.png"
        for name in names.split():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = _sources._files_of_one_kind("s3://in")
        assert found == ("Parquet", ["in/a.parquet", "in/b.parquet"], bucket)
        with pytest.raises(ValueError, match="Single images must lie on a disk that all machines see"):
            _sources._files_of_one_kind("s3://i")

    def test_parquet_with_bytes_and_two_keys(self, cluster, pictures, tmp_path):
        contents = [path.read_bytes() for path in sorted(pictures.iterdir())]
        number, shop = np.divmod(np.arange(N_PICTURES), 2)
        table = pa.table({"shop": shop, "number": number, "price": number, "picture": contents})
        pq.write_table(table, tmp_path / "in.parquet", row_group_size=10)
        options = {"image_column": "picture", "dtype": "float16"}
        job = tmp_path / "in.parquet", tmp_path / "out", ENCODER
        embed_dataset(*job, key_columns=["shop", "number"], **options, **ONE)
        found = pq.read_table(tmp_path / "out").sort_by([("number", "ascending"), ("shop", "ascending")])
        assert found.column_names == ["shop", "number", "embedding", "error"]
        assert found.select(["shop", "number"]) == table.select(["shop", "number"])
        embeddings = found["embedding"].to_pylist()[:-1]
        assert_allclose(embeddings, ENCODER.transform(contents[:-1]), rtol=1e-3, atol=1e-3)

        with pytest.raises(ValueError, match="30 keys of .* are there more than once, such as {'number': "):
            embed_dataset(tmp_path / "in.parquet", tmp_path / "2", ENCODER, key_columns="number", **options)
        assert not (tmp_path / "2").exists()

    def test_webdataset_shards(self, cluster, pictures, tmp_path):
        files = sorted(pictures.iterdir())
        (tmp_path / "in").mkdir()
        for shard in range(3):
            with tarfile.open(tmp_path / "in" / f"{shard}.tar", "w") as archive:
                for path in files[shard::3]:
                    archive.add(path, f"{path.stem}.png")
                    archive.addfile(tarfile.TarInfo(f"{path.stem}.txt"))
                archive.addfile(tarfile.TarInfo("bare.txt"))
        report = embed_dataset(tmp_path / "in", tmp_path / "out", ENCODER, **ONE)
        assert (report.n_rows, report.n_errors) == (N_PICTURES + 3, 4)
        assert report.compared == ("__url__", "__key__")
        table = pq.read_table(tmp_path / "out").sort_by("__key__")
        shards = [Path(url).name for url in table["__url__"].to_pylist()[:4]]
        assert shards == ["0.tar", "1.tar", "2.tar", "0.tar"]
        embeddings = table["embedding"].to_pylist()[: N_PICTURES - 1]
        assert_allclose(embeddings, ENCODER.transform(files[:-1]), atol=1e-5)

    def test_a_sample_of_webdataset_may_lack_a_key(self, cluster, tmp_path):
        with tarfile.open(tmp_path / "0.tar", "w") as archive:
            for name in ("a.png", "a.txt", "b.png"):
                archive.addfile(tarfile.TarInfo(name))
        source = _sources.open_source(tmp_path, None, ["__key__", "txt"])
        rows = [(row["__key__"], row["txt"]) for row in source.rows.take_all()]
        assert rows == [("a", b""), ("b", None)]
        assert len(source.digests()) == 2

    def test_a_dataset_then_predictions_from_embeddings_and_images(self, cluster, pictures, tmp_path):
        files = sorted(str(path) for path in pictures.iterdir())
        dataset = ray.data.from_items([{"id": i, "file": file} for i, file in enumerate(files)])
        embed_dataset(dataset, tmp_path / "e", ENCODER, image_column="file", key_columns="id", **ONE)
        y = np.resize(["cat", "dog", "sun"], N_PICTURES - 1)
        pipeline = make_semobridge_pipeline(**MINI).fit(files[:-1], y)
        wanted = pipeline.predict_proba(files[:-1])
        options = {"probabilities": True, "top_k": 2, **ONE}
        predict_dataset(tmp_path / "e", tmp_path / "p1", pipeline[1], **options)
        predict_dataset(dataset, tmp_path / "p2", pipeline, column="file", key_columns="id", **options)
        for output in ("p1", "p2"):
            table = read(tmp_path / output)
            assert table["id"].to_pylist() == list(range(N_PICTURES))
            assert_allclose(table["probabilities"].to_pylist()[:-1], wanted, atol=1e-5)
            assert table["label"].to_pylist() == [*pipeline.predict(files[:-1]), None]
            assert "not an image" in table["error"][N_PICTURES - 1].as_py()

        tensors = ray.data.from_items([{"id": 0, "embedding": ENCODER.transform(files[:1])[0]}])
        predict_dataset(tensors, tmp_path / "p3", pipeline[1], **ONE)
        assert read(tmp_path / "p3")["label"].to_pylist() == pipeline.predict(files[:1]).tolist()

        other = pipeline[1].fit(ENCODER.transform(files[:9]), y[:9])
        with pytest.raises(ValueError, match="results of another job: its 'model' is"):
            predict_dataset(tmp_path / "e", tmp_path / "p1", other, **options)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "Say which column of .* has the images .not None.: id, picture, error"),
            ({"image_column": "photo"}, "has the images .not 'photo'.: id, picture, error"),
            ({"image_column": "picture"}, "Give key_columns"),
            ({"image_column": "picture", "key_columns": "number"}, "Give key_columns .* .not .'number'"),
            ({"image_column": "picture", "key_columns": "error"}, "Give key_columns .* Rename columns"),
            ({"image_column": "error", "key_columns": "id"}, "in.parquet' has no rows"),
            ({"image_column": "picture", "key_columns": "id"}, "in.parquet' has no rows"),
        ],
    )
    def test_columns_of_a_table_and_a_table_without_rows(self, cluster, tmp_path, options, message):
        columns = {"id": pa.int64(), "picture": pa.binary(), "error": pa.string()}
        pq.write_table(pa.schema(columns).empty_table(), tmp_path / "in.parquet")
        with pytest.raises(ValueError, match=message):
            embed_dataset(tmp_path / "in.parquet", tmp_path / "out", ENCODER, **options)

    def test_a_source_that_is_not_there_or_of_nothing_to_read(self, cluster, tmp_path):
        with pytest.raises(FileNotFoundError, match="no file or folder"):
            embed_dataset(tmp_path / "none", tmp_path / "out", ENCODER)
        (tmp_path / "in.txt").touch()
        with pytest.raises(ValueError, match="neither images, Parquet nor WebDataset shards"):
            embed_dataset(tmp_path / "in.txt", tmp_path / "out", ENCODER)

    def test_images_for_a_classifier_of_embeddings(self, cluster, pictures, tmp_path):
        classifier = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
        pq.write_table(pa.table({"file": ["a.png"], "embedding": [b""]}), tmp_path / "in.parquet")
        for source in (tmp_path / "in.parquet", pictures):
            with pytest.raises(ValueError, match="holds no embeddings. .* first step is a CLIPImageEncoder"):
                predict_dataset(source, tmp_path / "out", classifier)

    @pytest.mark.parametrize("ending", ["png", "parquet"])
    def test_a_name_that_is_no_text(self, tmp_path, ending):
        try:
            (tmp_path / f"\udcff.{ending}").touch()
        except OSError:
            pytest.skip("here all names are text")
        with pytest.raises(ValueError, match=f"Rename the file .*udcff.{ending}"):
            _sources.open_source(tmp_path, None, None)
