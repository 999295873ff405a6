"""A cluster of several nodes, all on this machine, and pictures."""

import numpy as np
import pytest
from PIL import Image

from sksemobridge.distributed import EmbedImages, run_job

from .helpers import ENCODER, N_PICTURES, ONE, STORE


@pytest.fixture(scope="package")
def cluster(pytestconfig):
    """A head and a second node; tests may add others."""
    import ray
    from ray import cluster_utils

    with pytest.MonkeyPatch.context() as patch:
        # For encoders of this module, and so that the processes of the cluster share the machine.
        patch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
        patch.setenv("OMP_NUM_THREADS", "1")
        # Other programs on this machine would starve them.
        patch.setenv("RAY_worker_niceness", "0")
        # Ray would report them to its makers.
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = cluster_utils.Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 2, "include_dashboard": False, **STORE},
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
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(N_PICTURES - 1):
        noise = rng.integers(0, 256, (30 + i % 9, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i:03d}.png")
    (folder / f"{N_PICTURES - 1:03d}.png").write_text("no picture")
    return folder


@pytest.fixture(scope="package")
def embedded(cluster, pictures, tmp_path_factory):
    """The pictures' embeddings in several files, and the report of the job."""
    output = tmp_path_factory.mktemp("embedded") / "out"
    return output, run_job(pictures, output, EmbedImages(ENCODER), rows_per_file=16, **ONE)
