"""Batches of images and embeddings, without a cluster."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.linear_model import LogisticRegression

from sksemobridge.distributed import EmbedImages, Predict

from .helpers import ENCODER

# Ray's own modules.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def paths(pictures):
    return sorted(map(str, pictures.iterdir()))[:12]


def vectors(table, column="embedding"):
    return np.array([row for row in table[column].to_pylist() if row is not None], dtype=np.float32)


class TestEmbedImages:
    def test_gives_what_transform_gives(self, paths):
        table = EmbedImages(ENCODER)(pa.table({"id": range(12), "image": paths}))
        assert table.column_names == ["id", "embedding", "error"]
        assert table["embedding"].type == pa.list_(pa.float32())
        assert_array_equal(vectors(table), ENCODER.transform(paths))
        assert table["error"].null_count == 12

    def test_a_bad_image_is_a_row_with_its_reason(self, paths, tmp_path):
        (tmp_path / "text.jpg").write_text("no picture")
        Image.new("RGB", (100_000, 1)).save(tmp_path / "narrow.png")
        bad = {
            str(tmp_path / "text.jpg"): "not an image of a kind that is read",
            str(tmp_path / "none.jpg"): "no such file",
            str(tmp_path / "narrow.png"): "pixels are more than the limit",
            None: "is not an image",
        }
        table = EmbedImages(ENCODER)(
            pa.table({"id": range(6), "image": [paths[0], *bad, paths[1]]})
        )
        assert table["id"].to_pylist() == list(range(6))
        assert table["embedding"].is_null().to_pylist() == [False, True, True, True, True, False]
        first, *errors, last = table["error"].to_pylist()
        assert first is last is None
        for error, reason in zip(errors, bad.values(), strict=True):
            assert reason in error
        assert_allclose(vectors(table), ENCODER.transform(paths[:2]), atol=1e-6)
        pq.write_table(table, tmp_path / "part.parquet")
        assert pq.read_table(tmp_path / "part.parquet") == table


class TestPredict:
    @pytest.fixture(scope="class")
    def classifier(self, paths):
        return LogisticRegression(max_iter=1000).fit(
            ENCODER.transform(paths), np.repeat(["b", "a", "c"], 4)
        )

    def test_gives_what_predict_proba_gives(self, classifier, paths):
        embedded = EmbedImages(ENCODER)(pa.table({"id": range(12), "image": paths}))
        table = Predict(classifier, probabilities=True)(embedded)
        X = ENCODER.transform(paths)
        assert table.column_names == ["id", "label", "probabilities", "error"]
        assert table["label"].to_pylist() == classifier.predict(X).tolist()
        assert_allclose(vectors(table, "probabilities"), classifier.predict_proba(X), atol=1e-6)

    def test_keeps_rows_without_embedding_and_their_reason(self, classifier, paths):
        embedded = EmbedImages(ENCODER)(pa.table({"image": [paths[0], "none.jpg"]}))
        predict = Predict(classifier, probabilities=True)
        table = predict(embedded)
        assert table["label"].is_null().to_pylist() == [False, True]
        assert table["probabilities"].is_null().to_pylist() == [False, True]
        assert table["error"].to_pylist() == [None, "there is no such file"]
        assert predict(embedded.slice(1)).schema == predict(embedded.slice(0, 1)).schema
