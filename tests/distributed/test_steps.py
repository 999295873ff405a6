"""Batches of images and embeddings, without a cluster."""

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.linear_model import LogisticRegression

from sksemobridge import CLIPImageEncoder, make_semobridge_pipeline
from sksemobridge.distributed import EmbedImages, Predict

from .helpers import ENCODER, MINI

# Ray's own modules.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def paths(pictures):
    return sorted(map(str, pictures.iterdir()))[:12]


def vectors(table, column="embedding"):
    return np.array([row for row in table[column].to_pylist() if row is not None], dtype=np.float32)


class TestEmbedImages:
    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_gives_what_transform_gives(self, paths, dtype):
        embed = EmbedImages(CLIPImageEncoder(**MINI), dtype=dtype)
        table = embed(pa.table({"id": range(12), "image": paths}))
        assert table.column_names == ["id", "embedding", "error"]
        assert table["embedding"].type == pa.list_(pa.from_numpy_dtype(dtype), 128)
        assert_array_equal(vectors(table), ENCODER.transform(paths).astype(dtype))
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
        table = EmbedImages(ENCODER)(pa.table({"id": range(6), "image": [paths[0], *bad, paths[1]]}))
        assert table["id"].to_pylist() == list(range(6))
        assert table["embedding"].is_null().to_pylist() == [False, True, True, True, True, False]
        first, *errors, last = table["error"].to_pylist()
        assert first is last is None
        for error, reason in zip(errors, bad.values(), strict=True):
            assert reason in error
        assert_allclose(vectors(table), ENCODER.transform(paths[:2]), atol=1e-6)

    def test_a_vector_too_large_for_half_precision_is_an_error_of_its_row(self, paths):
        class Large(CLIPImageEncoder):
            def transform(self, X):
                return 1e6 * super().transform(X)

        embed = EmbedImages(Large(**MINI), dtype="float16")
        table = embed(pa.table({"image": paths[:1]}))
        assert table["embedding"].null_count == 1
        assert "float16" in table["error"][0].as_py()

    def test_a_picture_that_can_be_read_the_second_time_has_its_embedding(self, paths):
        class Late(CLIPImageEncoder):
            def transform(self, X):
                embeddings = super().transform(X)
                return embeddings if self.on_error == "raise" else np.nan * embeddings

        late = Late(**MINI).set_output(transform="pandas")
        table = EmbedImages(late)(pa.table({"image": paths}))
        assert_allclose(vectors(table), ENCODER.transform(paths), atol=1e-5)


class TestPredict:
    @pytest.fixture(scope="class")
    def classifier(self, paths):
        return LogisticRegression(max_iter=1000).fit(ENCODER.transform(paths), np.repeat(["b", "a", "c"], 4))

    def test_gives_what_predict_proba_gives(self, classifier, paths):
        embedded = EmbedImages(ENCODER)(pa.table({"id": range(12), "image": paths}))
        table = Predict(classifier, probabilities=True, top_k=2)(embedded)
        X = ENCODER.transform(paths)
        probabilities = classifier.predict_proba(X)
        results = ["label", "probabilities", "top_labels", "top_probabilities"]
        assert table.column_names == ["id", *results, "error"]
        assert table["label"].to_pylist() == classifier.predict(X).tolist()
        assert_allclose(vectors(table, "probabilities"), probabilities, atol=1e-6)
        best = np.argsort(-probabilities, axis=1)[:, :2]
        assert table["top_labels"].to_pylist() == classifier.classes_[best].tolist()
        wanted = np.take_along_axis(probabilities, best, axis=1)
        assert_allclose(vectors(table, "top_probabilities"), wanted, atol=1e-6)

    def test_keeps_rows_without_embedding_and_their_reason(self, classifier, paths):
        embedded = EmbedImages(ENCODER)(pa.table({"image": [paths[0], "none.jpg"]}))
        table = Predict(classifier, probabilities=True, top_k=1)(embedded)
        assert table.slice(1).drop_columns("error").to_pylist() == [
            {"label": None, "probabilities": None, "top_labels": None, "top_probabilities": None}
        ]
        assert table["error"].to_pylist() == [None, "there is no such file"]
        only_bad = Predict(classifier, top_k=1)(embedded.slice(1))
        assert only_bad.schema == Predict(classifier, top_k=1)(embedded.slice(0, 1)).schema

    def test_takes_images_where_the_estimator_does(self, paths):
        pipeline = make_semobridge_pipeline(**MINI).fit(paths, np.repeat(["cat", "dog", "sun"], 4))
        table = Predict(pipeline, probabilities=True)(pa.table({"image": [*paths, "none.jpg"]}))
        assert_allclose(vectors(table, "probabilities"), pipeline.predict_proba(paths), atol=1e-6)
        assert table["label"].to_pylist() == [*pipeline.predict(paths), None]
        assert table["error"].to_pylist()[12] == "there is no such file"
