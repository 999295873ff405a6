"""Batches of images and embeddings, without a cluster."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.linear_model import LogisticRegression

from sksemobridge import CLIPImageEncoder, make_semobridge_pipeline

pytest.importorskip("ray")

import pyarrow as pa  # noqa: E402

from sksemobridge.distributed import EmbedImages, Predict  # noqa: E402

from .helpers import some_pictures  # noqa: E402

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

    def test_a_picture_too_narrow_for_the_model_has_that_as_its_reason(self, tmp_path):
        Image.new("RGB", (100_000, 1)).save(tmp_path / "narrow.png")
        table = EmbedImages(ENCODER)(pa.table({"image": [str(tmp_path / "narrow.png")]}))
        assert "pixels are more than the limit" in table["error"][0].as_py()

    def test_half_precision_halves_the_vectors_also_of_an_encoder_that_gives_tensors(self, paths):
        encoder = CLIPImageEncoder("mini", pretrained="bundled", output="torch")
        table = EmbedImages(encoder, dtype="float16")(pa.table({"image": paths}))
        assert table.schema.field("embedding").type == pa.list_(pa.float16(), 128)
        assert_array_equal(vectors(table), ENCODER.transform(paths).astype(np.float16))

    def test_a_vector_too_large_for_half_precision_is_an_error_of_its_row(self, paths):
        class Large(CLIPImageEncoder):
            def transform(self, X):
                return 1e6 * super().transform(X)

        embed = EmbedImages(Large("mini", pretrained="bundled"), dtype="float16")
        table = embed(pa.table({"image": paths[:1]}))
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
        pipeline = make_semobridge_pipeline("mini", "bundled").fit(paths, np.repeat(["cat", "dog", "sun"], 4))
        table = Predict(pipeline, probabilities=True)(pa.table({"image": [*paths, "none.jpg"]}))
        assert_allclose(vectors(table, "probabilities"), pipeline.predict_proba(paths), atol=1e-6)
        assert table["label"].to_pylist() == [*pipeline.predict(paths), None]
        assert table["error"].to_pylist()[12] == "there is no such file"
