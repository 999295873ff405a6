"""Batches, files and arrays of large jobs, without a cluster."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.linear_model import LogisticRegression

from sksemobridge import CLIPImageEncoder, make_semobridge_pipeline

pytest.importorskip("ray")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from sksemobridge.distributed import EmbedImages, Predict  # noqa: E402
from sksemobridge.distributed._keys import digest_rows, is_among  # noqa: E402
from sksemobridge.distributed._output import OutputFolder  # noqa: E402

from .encoder_helpers import some_pictures  # noqa: E402

# Ray's own modules.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

ENCODER = CLIPImageEncoder("mini", pretrained="bundled", on_error="nan")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    names = [str(folder / f"{i}.png") for i in range(12)]
    for name, picture in zip(names, some_pictures(12)):
        Image.fromarray(picture).save(name)
    return names


def vectors(table, column="embedding"):
    return np.array([row for row in table[column].to_pylist() if row is not None], dtype=np.float32)


class TestEmbedImages:
    def test_gives_what_transform_gives(self, paths):
        table = EmbedImages(ENCODER)(pa.table({"id": range(12), "image": paths}))
        assert table.column_names == ["id", "embedding", "error"]
        assert table.schema.field("embedding").type == pa.list_(pa.float32(), 128)
        assert_array_equal(vectors(table), ENCODER.transform(paths))
        assert table["error"].null_count == 12

    def test_takes_encoded_bytes(self, paths):
        wanted = ENCODER.transform(paths[:2])
        contents = [Path(path).read_bytes() for path in paths[:2]]
        assert_array_equal(vectors(EmbedImages(ENCODER)(pa.table({"image": contents}))), wanted)

    def test_a_bad_image_is_a_row_with_its_reason(self, paths, tmp_path):
        (tmp_path / "text.jpg").write_text("no picture")
        images = [paths[0], str(tmp_path / "text.jpg"), str(tmp_path / "none.jpg"), None, paths[1]]
        table = EmbedImages(ENCODER)(pa.table({"id": range(5), "image": images}))
        errors = table["error"].to_pylist()
        assert table["id"].to_pylist() == [0, 1, 2, 3, 4]
        assert [row is None for row in table["embedding"].to_pylist()] == [False, True, True, True, False]
        assert errors[0] is errors[4] is None
        assert "not an image of a kind that is read" in errors[1]
        assert "no such file" in errors[2]
        assert "is not an image" in errors[3]
        assert_allclose(vectors(table), ENCODER.transform([paths[0], paths[1]]), atol=1e-6)

    def test_an_encoder_that_gives_tensors_does_no_harm(self, paths):
        encoder = CLIPImageEncoder("mini", pretrained="bundled", output="torch")
        assert_array_equal(
            vectors(EmbedImages(encoder)(pa.table({"image": paths}))), ENCODER.transform(paths)
        )

    def test_half_precision_halves_the_vectors(self, paths):
        table = EmbedImages(ENCODER, dtype="float16", keep=["id"])(
            pa.table({"id": range(12), "image": paths})
        )
        assert table.schema.field("embedding").type == pa.list_(pa.float16(), 128)
        assert_array_equal(vectors(table), ENCODER.transform(paths).astype(np.float16))

    def test_a_vector_too_large_for_half_precision_is_an_error_of_its_row(self, paths):
        class Large(CLIPImageEncoder):
            def transform(self, X):
                return 1e6 * super().transform(X)

        table = EmbedImages(Large("mini", pretrained="bundled"), dtype="float16")(
            pa.table({"image": paths[:1]})
        )
        assert table["embedding"].null_count == 1
        assert "float16" in table["error"][0].as_py()


class TestPredict:
    @pytest.fixture(scope="class")
    def classifier(self, paths):
        return LogisticRegression(max_iter=1000).fit(ENCODER.transform(paths), np.repeat(["b", "a", "c"], 4))

    def test_gives_what_predict_proba_gives(self, classifier, paths):
        embedded = EmbedImages(ENCODER)(pa.table({"id": range(12), "image": paths}))
        table = Predict(classifier, probabilities=True, top_k=2)(embedded)
        X = ENCODER.transform(paths)
        probabilities = classifier.predict_proba(X)
        assert table.column_names == [
            "id",
            "label",
            "probabilities",
            "top_labels",
            "top_probabilities",
            "error",
        ]
        assert table["label"].to_pylist() == classifier.predict(X).tolist()
        assert_allclose(vectors(table, "probabilities"), probabilities, atol=1e-6)
        best = np.argsort(-probabilities, axis=1)[:, :2]
        assert table["top_labels"].to_pylist() == classifier.classes_[best].tolist()
        assert_allclose(
            vectors(table, "top_probabilities"), np.take_along_axis(probabilities, best, axis=1), atol=1e-6
        )

    def test_keeps_rows_without_embedding_and_their_reason(self, classifier, paths):
        embedded = EmbedImages(ENCODER)(pa.table({"image": [paths[0], "none.jpg"]}))
        table = Predict(classifier, probabilities=True, top_k=1)(embedded)
        assert table.slice(1).drop_columns("error").to_pylist() == [
            {"label": None, "probabilities": None, "top_labels": None, "top_probabilities": None}
        ]
        assert table["error"].to_pylist() == [None, "there is no such file"]
        only_bad = Predict(classifier, top_k=1)(embedded.slice(1))
        assert only_bad.schema == Predict(classifier, top_k=1)(embedded.slice(0, 1)).schema

    @pytest.mark.parametrize("unit", ["M", "D", "ns"])
    def test_dates_are_labels_too(self, unit):
        days = np.array(["2024-05-01", "2023-01-01"], dtype=f"datetime64[{unit}]")
        classifier = LogisticRegression().fit(np.eye(2), days)
        labels = Predict(classifier)(pa.table({"embedding": np.eye(2).tolist()}))["label"].to_pylist()
        assert [str(label)[:7] for label in labels] == ["2024-05", "2023-01"]

    def test_takes_images_where_the_estimator_does(self, paths):
        pipeline = make_semobridge_pipeline("mini", "bundled").fit(paths, np.repeat(["cat", "dog", "sun"], 4))
        table = Predict(pipeline, probabilities=True)(
            pa.table({"id": range(13), "image": [*paths, "none.jpg"]})
        )
        assert_allclose(vectors(table, "probabilities"), pipeline.predict_proba(paths), atol=1e-6)
        assert table["label"].to_pylist() == [*pipeline.predict(paths), None]
        assert table["error"].to_pylist()[12] == "there is no such file"

    def test_refuses_more_labels_than_there_are(self, classifier):
        with pytest.raises(ValueError, match="top_k=4, but there are 3 classes"):
            Predict(classifier, top_k=4)


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

    def test_foreign_files_are_refused(self, tmp_path):
        pq.write_table(pa.table({"key": [1]}), tmp_path / "mine.parquet")
        with pytest.raises(ValueError, match="of another origin"):
            OutputFolder(tmp_path, ["key"]).claim({})

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has locks of open files")
    def test_one_job_at_a_time_writes_to_an_output(self, tmp_path):
        first, second = (OutputFolder(tmp_path / "out", ["key"]) for _ in range(2))
        with first.locked(), pytest.raises(RuntimeError, match="Another job is writing to .*out"):
            second.locked().__enter__()
        with second.locked():
            second.claim({"model": "a"})


def test_digests_do_not_depend_on_how_arrow_holds_values():
    table = pa.table({"name": ["a", "b"], "number": pa.array([1, None], pa.int32())})
    other = pa.table(
        {"name": pa.array(["a", "b"]).dictionary_encode(), "number": pa.array([1, None], pa.int64())}
    )
    assert_array_equal(*(digest_rows([rows], ["name", "number"]) for rows in (table, other)))
    table = pa.table({"a": ["x", "y", "xy"], "b": ["y", "x", ""]})
    assert len(np.unique(digest_rows([table], ["a", "b"]))) == 3


def test_digests_are_found_among_others():
    keys = digest_rows([pa.table({"key": range(1000)})], ["key"])[:, 0]
    some = np.sort(keys[::3])
    assert_array_equal(is_among(keys, some), np.arange(1000) % 3 == 0)
    assert not is_among(keys, some[:0]).any()


WITHOUT_RAY = """
import sys
import sksemobridge
assert not {"ray", "torch", "sksemobridge.distributed"} & set(sys.modules)
sys.modules["ray"] = None
from sksemobridge.distributed import embed_dataset
try:
    embed_dataset("in", "out", sksemobridge.CLIPImageEncoder())
except ImportError as error:
    print(error)
"""


def test_without_ray_the_error_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT_RAY], capture_output=True, text=True, check=True)
    assert 'pip install "sksemobridge[ray]"' in done.stdout
