import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sksemobridge import make_semobridge_pipeline

ray = pytest.importorskip("ray")
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from sksemobridge.distributed import embed_dataset, predict_dataset  # noqa: E402
from sksemobridge.distributed._sources import open_source  # noqa: E402

from .helpers import ENCODER, MINI, N_PICTURES, ONE, assert_whole, read  # noqa: E402

# Ray has its own, of deprecated parts and of actors that so small a job does not keep busy.
pytestmark = pytest.mark.filterwarnings("default")


class TestSources:
    def test_a_folder(self, embedded, pictures):
        output, report = embedded
        assert (report.n_rows, report.n_new, report.n_before, report.n_errors) == (
            N_PICTURES,
            N_PICTURES,
            0,
            1,
        )
        assert len(list(output.glob("*.parquet"))) > 1
        assert_whole(output, pictures)

    def test_links_in_a_folder_or_pattern_lead_nowhere_twice(self, cluster, pictures, tmp_path):
        (tmp_path / "a").mkdir()
        files = [str(shutil.copy(pictures / "000.png", tmp_path / name)) for name in ("_0.png", "a/1.png")]
        for link in ("x", "y", "a/z"):
            (tmp_path / link).symlink_to(tmp_path)
        for source in (tmp_path, tmp_path / "**" / "*.png"):
            assert open_source(source, None, None).rows["path"].to_pylist() == files

    def test_parquet_with_bytes_and_two_keys(self, cluster, pictures, tmp_path):
        contents = [path.read_bytes() for path in sorted(pictures.iterdir())]
        shop = [i % 2 for i in range(N_PICTURES)]
        number = [i // 2 for i in range(N_PICTURES)]
        table = pa.table({"shop": shop, "number": number, "price": number, "picture": contents})
        pq.write_table(table, tmp_path / "in.parquet", row_group_size=10)
        options = {"image_column": "picture", "dtype": "float16"}
        embed_dataset(
            tmp_path / "in.parquet",
            tmp_path / "out",
            ENCODER,
            key_columns=["shop", "number"],
            **options,
            **ONE,
        )
        found = pq.read_table(tmp_path / "out").sort_by([("number", "ascending"), ("shop", "ascending")])
        assert found.column_names == ["shop", "number", "embedding", "error"]
        assert found.select(["shop", "number"]) == table.select(["shop", "number"])
        embeddings = np.array(found["embedding"].to_pylist()[:-1])
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
                    archive.addfile(tarfile.TarInfo(f"{path.stem}.txt"), io.BytesIO())
                archive.addfile(tarfile.TarInfo("bare.txt"), io.BytesIO())
        report = embed_dataset(tmp_path / "in", tmp_path / "out", ENCODER, **ONE)
        assert (report.n_rows, report.n_errors) == (N_PICTURES + 3, 4)
        assert report.compared == ("__url__", "__key__")
        table = pq.read_table(tmp_path / "out").sort_by("__key__")
        assert [Path(url).name for url in table["__url__"].to_pylist()[:4]] == [
            "0.tar",
            "1.tar",
            "2.tar",
            "0.tar",
        ]
        embeddings = np.array(table["embedding"].to_pylist()[: N_PICTURES - 1], dtype=np.float32)
        assert_allclose(embeddings, ENCODER.transform(files[:-1]), atol=1e-5)

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
            assert_allclose(np.array(table["probabilities"].to_pylist()[:-1]), wanted, atol=1e-5)
            assert table["label"].to_pylist() == [*pipeline.predict(files[:-1]), None]
            assert "not an image" in table["error"][N_PICTURES - 1].as_py()

        with pytest.raises(ValueError, match="results of another job: its 'model' is"):
            predict_dataset(
                tmp_path / "e",
                tmp_path / "p1",
                pipeline[1].fit(ENCODER.transform(files[:9]), y[:9]),
                **options,
            )


class TestRefusals:
    def test_a_key_of_the_name_of_a_result(self, cluster, tmp_path):
        pq.write_table(pa.table({"error": ["a"], "file": ["b"]}), tmp_path / "in.parquet")
        with pytest.raises(ValueError, match="Rename the key column 'error'"):
            embed_dataset(
                tmp_path / "in.parquet", tmp_path / "out", ENCODER, image_column="file", key_columns="error"
            )

    def test_a_source_that_is_not_there(self, cluster, tmp_path):
        with pytest.raises(FileNotFoundError, match="no file or folder"):
            embed_dataset(tmp_path / "none", tmp_path / "out", ENCODER)

    def test_a_name_that_is_no_text(self, cluster, tmp_path):
        try:
            (tmp_path / "\udcff.png").touch()
        except OSError:
            pytest.skip("here all names are text")
        with pytest.raises(ValueError, match="Rename the file .*udcff.png"):
            embed_dataset(tmp_path, tmp_path / "out", ENCODER)

    def test_a_source_of_nothing_to_read(self, cluster, tmp_path):
        (tmp_path / "in.txt").touch()
        with pytest.raises(ValueError, match="neither images, Parquet nor WebDataset shards"):
            embed_dataset(tmp_path / "in.txt", tmp_path / "out", ENCODER)

    def test_a_table_without_word_of_its_columns(self, cluster, tmp_path):
        pq.write_table(pa.table({"id": [1], "picture": [b""]}), tmp_path / "in.parquet")
        with pytest.raises(ValueError, match="Say which column of .* has the images: id, picture"):
            embed_dataset(tmp_path / "in.parquet", tmp_path / "out", ENCODER)
        with pytest.raises(ValueError, match="Say by key_columns"):
            embed_dataset(tmp_path / "in.parquet", tmp_path / "out", ENCODER, image_column="picture")
