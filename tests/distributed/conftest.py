"""A cluster of several nodes, all on this machine, and pictures."""

import pytest
from PIL import Image

from .helpers import ENCODER, N_PICTURES, ONE, ROOT, STORE, some_pictures


@pytest.fixture(scope="package")
def cluster():
    """A head and a second node; tests may add others."""
    import ray
    from ray import cluster_utils

    with pytest.MonkeyPatch.context() as patch:
        # For encoders of this module, and so that the processes of the cluster share the machine.
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        # Ray would report them to its makers.
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, **STORE}
        )
        cluster.add_node(num_cpus=1, **STORE)
        ray.init(address=cluster.address, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="package")
def pictures(tmp_path_factory):
    """A folder with pictures, the last of which is broken."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(some_pictures(N_PICTURES - 1)):
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
    (folder / f"{N_PICTURES - 1:03d}.png").write_text("no picture")
    return folder


@pytest.fixture(scope="package")
def embedded(cluster, pictures, tmp_path_factory):
    """The pictures' embeddings in several files, and the report of the job."""
    from sksemobridge.distributed import embed_dataset

    output = tmp_path_factory.mktemp("embedded") / "out"
    return output, embed_dataset(pictures, output, ENCODER, rows_per_file=16, **ONE)
