"""An encoder that writes down what it does, and what tests of large jobs share."""

import time

import pyarrow.parquet as pq
from numpy.testing import assert_allclose

from sksemobridge import CLIPImageEncoder

MINI = {"model_name": "mini", "pretrained": "bundled"}
ENCODER = CLIPImageEncoder(**MINI)
N_PICTURES = 60
# Each actor has to import torch, which takes most of the time here.
ONE = {"concurrency": 1}
STORE = {"object_store_memory": 100_000_000}


class Scribbler(CLIPImageEncoder):
    """Writes down each image that it embeds, in whatever process it is, and may meet with an accident."""

    def __init__(self, notes, accident=None, pause=0, on_error="nan", progress=False, output="numpy"):
        super().__init__(**MINI, on_error=on_error, progress=progress, output=output)
        self.notes = notes
        self.accident = accident
        self.pause = pause

    def transform(self, X):
        for image in X:
            if self.accident is not None:
                self.accident(image)
        embeddings = super().transform(X)
        time.sleep(self.pause * len(X))
        with open(self.notes, "a") as file:
            file.write("".join(f"{image}\n" for image in X))
        return embeddings


def read(output):
    """The output ordered by its key, which must be there once."""
    table = pq.read_table(output)
    key = table.column_names[0]
    assert len(table[key].unique()) == len(table)
    return table.sort_by(key)


def assert_whole(output, pictures):
    """Each picture is there once, with the embedding that one process gives it."""
    table = read(output)
    files = sorted(str(path) for path in pictures.iterdir())
    assert table["path"].to_pylist() == files
    assert table["embedding"].null_count == 1
    assert "not an image" in table["error"][N_PICTURES - 1].as_py()
    assert_allclose(table["embedding"].to_pylist()[:-1], ENCODER.transform(files[:-1]), atol=1e-5)
