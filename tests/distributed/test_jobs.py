"""What may befall a large job, and how the next one goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sksemobridge import CLIPImageEncoder, ModelLoadError
from sksemobridge.distributed import _jobs, embed_dataset, predict_dataset
from sksemobridge.distributed._output import OutputFolder

from .helpers import ENCODER, MINI, N_PICTURES, ONE, STORE, Scribbler, assert_whole, read

ray = pytest.importorskip("ray")
# Ray has its own, of deprecated parts and of actors that so small a job does not keep busy.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.txt"
    path.touch()
    return path


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "nothing has happened for minutes"
        time.sleep(0.05)


class TestResuming:
    def test_only_what_is_not_there_is_embedded(self, embedded, pictures, notes, tmp_path):
        output = shutil.copytree(embedded[0], tmp_path / "out")
        lost = min(output.glob("*.parquet"))
        missing = pq.read_table(lost)["path"].to_pylist()
        lost.unlink()
        report = embed_dataset(pictures, output, Scribbler(notes), **ONE)
        assert (report.n_before, report.n_new) == (N_PICTURES - len(missing), len(missing))
        assert set(notes.read_text().splitlines()) == set(missing)
        assert_whole(output, pictures)

    def test_rows_that_are_there_twice_are_dropped(self, embedded, pictures, tmp_path):
        output = shutil.copytree(embedded[0], tmp_path / "out")
        table = pq.read_table(output)
        pq.write_table(table.slice(0, 20), output / "part-of-a-worker-cut-off.parquet")
        (output / "_unfinished" / "rest").write_text("PAR1")
        report = embed_dataset(pictures, output, ENCODER)
        assert (report.n_before, report.n_new, report.n_repeats_dropped) == (N_PICTURES, 0, 20)
        assert_whole(output, pictures)
        assert not list((output / "_unfinished").iterdir())

    def test_a_picture_that_was_replaced_is_embedded_and_predicted_anew(self, embedded, pictures, tmp_path):
        folder = shutil.copytree(pictures, tmp_path / "in")
        output, labels, files = tmp_path / "out", tmp_path / "labels", sorted(folder.iterdir())
        embed_dataset(folder, output, ENCODER, rows_per_file=16, **ONE)
        days = np.array(["2023-01-01", "2024-01-01"], dtype="datetime64[D]")
        classifier = LogisticRegression().fit(ENCODER.transform(files[:2]), days)
        predict_dataset(output, labels, classifier, probabilities=True, **ONE)
        shutil.copyfile(files[1], files[0])
        os.utime(files[2])
        files[3].unlink()
        report = embed_dataset(folder, output, ENCODER, rows_per_file=16, **ONE)
        assert (report.n_new, report.n_changed, report.n_before, report.n_others) == (2, 2, N_PICTURES - 3, 1)
        assert report.compared == ("path", "file_size", "file_modified")
        table = read(output)
        assert_allclose(table["embedding"][0].as_py(), table["embedding"][1].as_py(), atol=1e-5)
        assert table["file_modified"][2].as_py() == files[2].stat().st_mtime_ns
        report = predict_dataset(output, labels, classifier, probabilities=True, **ONE)
        assert (report.n_new, report.n_changed) == (2, 2)
        table = read(labels)
        assert_allclose(*table["probabilities"].to_pylist()[:2], atol=1e-5)
        assert set(table["label"].to_pylist()) == {*days.tolist(), None}

    def test_an_image_whose_file_cannot_be_seen_keeps_its_row(self, cluster, pictures, tmp_path):
        picture = shutil.copy(pictures / "000.png", tmp_path / "a.png")
        pq.write_table(pa.table({"file": [str(picture)]}), tmp_path / "in.parquet")
        job = tmp_path / "in.parquet", tmp_path / "out", ENCODER
        embed_dataset(*job, image_column="file", **ONE)
        picture.unlink()
        report = embed_dataset(*job, image_column="file", **ONE)
        assert (report.n_before, report.n_changed, report.n_errors) == (1, 0, 0)

    def test_beside_another_job_on_the_same_output_it_does_not_begin(self, embedded, pictures):
        unfinished = embedded[0] / "_unfinished" / "of the other"
        with OutputFolder(embedded[0], ["path"]).locked():
            unfinished.touch()
            with pytest.raises(RuntimeError, match="Another job is writing"):
                embed_dataset(pictures, embedded[0], ENCODER)
            assert unfinished.exists()
        assert embed_dataset(pictures, embedded[0], ENCODER).n_before == N_PICTURES

    def test_results_of_another_model_or_reading_are_refused(self, embedded, pictures, monkeypatch):
        with pytest.raises(ValueError, match="results of another job: its 'model' is"):
            embed_dataset(pictures, embedded[0], CLIPImageEncoder(**MINI, normalize=True))
        monkeypatch.setattr(_jobs, "READING_VERSION", 0)
        with pytest.raises(ValueError, match="results of another job: its 'model' is"):
            embed_dataset(pictures, embedded[0], ENCODER)

    def test_a_run_that_was_killed_goes_on(self, cluster, pictures, notes, tmp_path):
        output = tmp_path / "out"
        program = (
            "import time, ray\n"
            "from sksemobridge.distributed import embed_dataset\n"
            "from tests.distributed.helpers import Scribbler\n"
            f"ray.init({cluster.address!r})\n"
            f"encoder = Scribbler({str(notes)!r}, before=lambda image: time.sleep(0.2))\n"
            f"embed_dataset({str(pictures)!r}, {str(output)!r}, encoder, rows_per_file=4, concurrency=1)\n"
        )
        with subprocess.Popen([sys.executable, "-c", program]) as driver:
            try:
                wait_for(lambda: len(list(output.glob("*.parquet"))) >= 3)
            finally:
                driver.kill()
        written = sum(pq.read_metadata(file).num_rows for file in output.glob("*.parquet"))
        assert written < N_PICTURES
        notes.write_text("")
        report = embed_dataset(pictures, output, Scribbler(notes), **ONE)
        assert report.n_before >= written
        assert report.n_before + report.n_new == N_PICTURES
        # None of those written; workers of the killed run may have noted a last batch.
        assert len(notes.read_text().splitlines()) <= N_PICTURES - written + 8
        assert_whole(output, pictures)


class TestFaults:
    def test_a_worker_is_killed(self, cluster, pictures, notes, tmp_path):
        done = tmp_path / "done"

        def die_once(image):
            if str(image).endswith("030.png") and not done.exists():
                done.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        encoder = Scribbler(notes, before=die_once)
        report = embed_dataset(pictures, tmp_path / "out", encoder, rows_per_file=8, **ONE)
        assert done.exists()
        assert report.n_new == N_PICTURES
        assert_whole(tmp_path / "out", pictures)

    def test_a_node_is_removed_and_actors_hold_all_cpus_that_are_left(
        self, cluster, pictures, notes, tmp_path
    ):
        node = cluster.add_node(num_cpus=2, **STORE)
        cluster.wait_for_nodes()

        def remove():
            wait_for(lambda: len(notes.read_text().splitlines()) >= 12)
            cluster.remove_node(node, allow_graceful=False)

        encoder = Scribbler(notes, before=lambda image: time.sleep(0.2))
        with ThreadPoolExecutor() as pool:
            removed = pool.submit(remove)
            report = embed_dataset(pictures, tmp_path / "out", encoder, rows_per_file=4, concurrency=4)
        removed.result()
        assert report.n_new == N_PICTURES
        assert_whole(tmp_path / "out", pictures)

    def test_actors_that_always_die_end_the_run(self, cluster, pictures, notes, tmp_path, monkeypatch):
        monkeypatch.setattr(_jobs, "_MAX_TASK_RETRIES", 1)

        def die(image):
            if str(image).endswith("030.png"):
                os.kill(os.getpid(), signal.SIGKILL)

        encoder = Scribbler(notes, before=die)
        with pytest.raises(ray.exceptions.RayError, match="too little memory"):
            embed_dataset(pictures, tmp_path / "out", encoder, rows_per_file=8, **ONE)
        report = embed_dataset(pictures, tmp_path / "out", Scribbler(notes), **ONE)
        assert report.n_before > 0
        assert_whole(tmp_path / "out", pictures)

    def test_the_disk_of_the_output_is_full(self, cluster, pictures, tmp_path):
        output = tmp_path / "out"
        output.mkdir()
        mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(output)])
        if mounting.returncode:
            pytest.skip("a small disk can be mounted by root only")
        try:
            with pytest.raises(Exception, match="No space left on device"):
                embed_dataset(pictures, output, ENCODER, rows_per_file=8, **ONE)
            n_before = sum(pq.read_metadata(file).num_rows for file in output.glob("*.parquet"))
            subprocess.run(["mount", "-o", "remount,size=10m", str(output)], check=True)
            report = embed_dataset(pictures, output, ENCODER, **ONE)
            assert (report.n_before, report.n_new) == (n_before, N_PICTURES - n_before)
            assert_whole(output, pictures)
        finally:
            subprocess.run(["umount", str(output)], check=True)


@pytest.mark.parametrize(
    ("nodes", "options", "n_actors"),
    [
        # CPUs and GPUs of each node. One CPU is left.
        ([(4, 0), (2, 0)], {}, 5),
        # Together they have CPUs for two actors, but none of them for one.
        ([(3, 0), (3, 0), (3, 0)], {"num_cpus": 4}, 0),
        ([(7, 0), (3, 0)], {"num_cpus": 2}, 4),
        # Two actors would leave half a CPU on each.
        ([(2, 0), (2, 0)], {"num_cpus": 1.5}, 1),
        ([(2, 0), (0, 0)], {"num_cpus": 0.5}, 2),
        ([(16, 0), (2, 4)], {}, 2),
        ([(8, 2), (8, 1)], {"num_gpus": 0.5}, 6),
        ([(8, 0)], {"num_gpus": 1}, 0),
        ([(1, 0)], {}, 0),
    ],
)
def test_as_many_actors_as_fit_on_the_nodes(cluster, monkeypatch, nodes, options, n_actors):
    found = [{"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}} for cpus, gpus in nodes]
    monkeypatch.setattr(ray, "nodes", lambda: [*found, {"Alive": False, "Resources": {"CPU": 64}}])
    options = {"concurrency": None, "num_cpus": 1, "num_gpus": None} | options
    if n_actors:
        assert _jobs._actor_options(**options)["compute"].min_size == n_actors
    else:
        with pytest.raises(ValueError, match="room for 0 actors .* start more nodes"):
            _jobs._actor_options(**options)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"concurrency": 3}, ValueError, "room for 2 actors of 1 CPUs .* not for 3"),
            ({"num_cpus": 0}, ValueError, "an actor needs CPUs"),
            ({"encoder": CLIPImageEncoder("ViT-B-99")}, ModelLoadError, "knows no model 'ViT-B-99'"),
        ],
    )
    def test_what_could_only_fail_later(self, cluster, pictures, tmp_path, options, error, message):
        with pytest.raises(error, match=message):
            embed_dataset(pictures, tmp_path / "out", **{"encoder": ENCODER} | options)

    def test_a_dataset_that_gives_other_keys_each_time(self, cluster, tmp_path):
        def keys_anew(batch):
            return pa.table({"id": [uuid.uuid4().hex for _ in range(4)], "image": [b""] * 4})

        dataset = ray.data.range(4, override_num_blocks=1).map_batches(keys_anew, batch_format="pyarrow")
        with pytest.raises(RuntimeError, match="4 of 4 keys of 'a Ray dataset' are not in .*call again"):
            embed_dataset(dataset, tmp_path / "out", ENCODER, image_column="image", key_columns="id", **ONE)

    def test_a_classifier_that_is_not_fitted_and_more_labels_than_classes(self, cluster, tmp_path):
        classifier = LogisticRegression()
        with pytest.raises(NotFittedError):
            predict_dataset(tmp_path, tmp_path / "out", classifier)
        with pytest.raises(ValueError, match="top_k=3, but there are 2 classes"):
            predict_dataset(tmp_path, tmp_path / "out", classifier.fit([[0.0], [1.0]], [0, 1]), top_k=3)

    def test_an_output_in_the_source(self, cluster, pictures):
        with pytest.raises(ValueError, match="lies in the source"):
            embed_dataset(pictures, pictures / "out", ENCODER)


WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
import sksemobridge
assert not {"torch", "sksemobridge.distributed"} & set(sys.modules)
from sksemobridge.distributed import embed_dataset
embed_dataset("in", "out", sksemobridge.CLIPImageEncoder())
"""


@pytest.mark.parametrize(
    ("name", "said"), [("ray", "pip install 'sksemobridge[ray]'"), ("pyarrow", "import of pyarrow halted")]
)
def test_only_jobs_need_ray_and_pyarrow(name, said):
    done = subprocess.run([sys.executable, "-c", WITHOUT, name], stderr=subprocess.PIPE, text=True)
    assert said in done.stderr
