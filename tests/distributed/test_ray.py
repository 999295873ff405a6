"""Arrays that are sent to a cluster once, and the error without Ray."""

import subprocess
import sys

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV, cross_val_score

from sksemobridge import PaperBlend

ray = pytest.importorskip("ray")

from sksemobridge.distributed import share_array  # noqa: E402

# Ray has its own, of deprecated parts and of actors that so small a job does not keep busy.
pytestmark = pytest.mark.filterwarnings("default")


class TestJoblib:
    @pytest.fixture(autouse=True)
    def backend(self, cluster):
        from ray.util.joblib import register_ray

        register_ray()

    def test_selection_gives_what_one_process_gives(self, world):
        X, y = world.draw(12)
        classifier = world.classifier(blend=PaperBlend())
        search = GridSearchCV(classifier, {"blend__alpha": [0.5, 2.0]}, cv=3)
        wanted = search.fit(X, y).cv_results_["mean_test_score"]
        wanted_scores = cross_val_score(classifier, X, y, cv=3)
        shared = share_array(X)
        sent_as_reference = []

        class Noting(type(shared)):
            def __reduce_ex__(self, protocol):
                reduced = super().__reduce_ex__(protocol)
                sent_as_reference.append(isinstance(reduced[1][0], ray.ObjectRef))
                return reduced

        shared.__class__ = Noting
        with parallel_config("ray", n_jobs=2):
            assert_array_equal(search.fit(shared, y).cv_results_["mean_test_score"], wanted)
            assert_array_equal(cross_val_score(classifier, shared, y, cv=3), wanted_scores)
        # 2 candidates x 3 folds, and 3 folds more.
        assert len(sent_as_reference) >= 9
        assert all(sent_as_reference)

    def test_a_shared_array_is_sent_once(self):
        X = np.random.default_rng(0).normal(size=(10_000, 100))
        shared = share_array(X)
        assert_array_equal(shared, X)
        assert len(ray.cloudpickle.dumps(shared)) < 1000
        assert_array_equal(ray.get(ray.remote(lambda array: array + 0).remote(shared[::2])), X[::2])

        def place(arrays):
            # Memory of the node's object store is read-only, and no copy of it.
            return arrays[0].flags.writeable, arrays[0].flags.owndata

        assert ray.get(ray.remote(place).remote([shared])) == (False, False)


WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
import sksemobridge
assert not {"torch", "sksemobridge.distributed"} & set(sys.modules)
try:
    from sksemobridge.distributed import embed_dataset
    embed_dataset("in", "out", sksemobridge.CLIPImageEncoder())
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["ray", "pyarrow"])
def test_without_a_package_the_error_of_a_job_says_what_to_install(name):
    call = [sys.executable, "-c", WITHOUT, name]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert 'pip install "sksemobridge[ray]"' in done.stdout
