"""An encoder that writes down what it does, and what tests of large jobs share."""

import pyarrow.parquet as pq
from numpy.testing import assert_allclose

from sksemobridge import CLIPImageEncoder

MINI = {"model_name": "mini", "pretrained": "bundled"}
ENCODER = CLIPImageEncoder(**MINI)
N_PICTURES = 60
# Each actor has to import torch, which takes most of the time here.
ONE = {"n_actors": 1}
STORE = {"object_store_memory": 100_000_000}


class Scribbler(CLIPImageEncoder):
    """Writes down each image that it embeds, in whatever process it is, and before that may call a
    function with it.
    """

    def __init__(self, notes, before=None, on_error="nan", progress=False):
        super().__init__(**MINI, on_error=on_error, progress=progress)
        self.notes = notes
        self.before = before

    def _embed_rows(self, images, ends_at_problem=False):
        for image in images:
            if self.before is not None:
                self.before(image)
        embedded = super()._embed_rows(images, ends_at_problem)
        with open(self.notes, "a") as file:
            file.write("".join(f"{image}\n" for image in images))
        return embedded


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
