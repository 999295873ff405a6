"""Large jobs on a cluster of several nodes, all on this machine, and what may befall them."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

from sksemobridge import CLIPImageEncoder, ModelLoadError, SeMoBridgeClassifier, make_semobridge_pipeline

ray = pytest.importorskip("ray")
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from ray import cluster_utils  # noqa: E402

from sksemobridge.distributed import _jobs, embed_dataset, predict_dataset, share_array  # noqa: E402
from sksemobridge.distributed._output import OutputFolder  # noqa: E402
from sksemobridge.distributed._sources import open_source  # noqa: E402

from .encoder_helpers import some_pictures  # noqa: E402

# Ray has its own, of deprecated parts and of actors that so small a job does not keep busy.
pytestmark = pytest.mark.filterwarnings("default")

MINI = {"model_name": "mini", "pretrained": "bundled"}
ENCODER = CLIPImageEncoder(**MINI)
N_PICTURES = 60
# Each actor has to import torch, which takes most of the time here.
ONE = {"concurrency": 1}
STORE = {"object_store_memory": 100_000_000}
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def cluster():
    """A head and a second node; tests may add others."""
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


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with pictures, the last of which is broken."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(some_pictures(N_PICTURES - 1)):
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
    (folder / f"{N_PICTURES - 1:03d}.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def embedded(cluster, pictures, tmp_path_factory):
    """The pictures' embeddings in several files, and the report of the job."""
    output = tmp_path_factory.mktemp("embedded") / "out"
    return output, embed_dataset(pictures, output, ENCODER, rows_per_file=16, **ONE)


class Scribbler(CLIPImageEncoder):
    """Writes down each image that it embeds, in whatever process it is, and may meet with an accident."""

    def __init__(
        self,
        model_name,
        pretrained,
        *,
        notes=None,
        accident=None,
        pause=0,
        on_error="nan",
        progress=False,
        output="numpy",
    ):
        super().__init__(model_name, pretrained, on_error=on_error, progress=progress, output=output)
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


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.txt"
    path.touch()
    return path


def count(notes):
    return len(notes.read_text().splitlines())


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "nothing has happened for minutes"
        time.sleep(0.05)


def read(output):
    """The output ordered by its key, which must be there once."""
    table = pq.read_table(output)
    key = table.column_names[0]
    table = table.sort_by(key)
    keys = table[key].to_pylist()
    assert len(set(keys)) == len(keys)
    return table


def assert_whole(output, pictures):
    """Each picture is there once, with the embedding that one process gives it."""
    table = read(output)
    files = sorted(str(path) for path in pictures.iterdir())
    assert table["path"].to_pylist() == files
    assert table["embedding"].null_count == 1
    assert "not an image" in table["error"][N_PICTURES - 1].as_py()
    embeddings = np.array(table["embedding"].to_pylist()[:-1], dtype=np.float32)
    assert_allclose(embeddings, ENCODER.transform(files[:-1]), atol=1e-5)


class TestSources:
    def test_a_folder(self, embedded, pictures):
        output, report = embedded
        assert (report.n_rows, report.n_new, report.n_before, report.n_errors) == (
            N_PICTURES,
            N_PICTURES,
            0,
            1,
        )
        assert len(list(output.glob("*.parquet"))) > 1
        assert_whole(output, pictures)

    def test_links_in_a_folder_or_pattern_lead_nowhere_twice(self, cluster, pictures, tmp_path):
        (tmp_path / "a").mkdir()
        files = [str(shutil.copy(pictures / "000.png", tmp_path / name)) for name in ("_0.png", "a/1.png")]
        for link in ("x", "y", "a/z"):
            (tmp_path / link).symlink_to(tmp_path)
        for source in (tmp_path, tmp_path / "**" / "*.png"):
            assert open_source(source, None, None).rows["path"].to_pylist() == files

    def test_parquet_with_bytes_and_two_keys(self, cluster, pictures, tmp_path):
        contents = [path.read_bytes() for path in sorted(pictures.iterdir())]
        shop = [i % 2 for i in range(N_PICTURES)]
        number = [i // 2 for i in range(N_PICTURES)]
        table = pa.table({"shop": shop, "number": number, "price": number, "picture": contents})
        pq.write_table(table, tmp_path / "in.parquet", row_group_size=10)
        options = {"image_column": "picture", "dtype": "float16"}
        embed_dataset(
            tmp_path / "in.parquet",
            tmp_path / "out",
            ENCODER,
            key_columns=["shop", "number"],
            **options,
            **ONE,
        )
        found = pq.read_table(tmp_path / "out").sort_by([("number", "ascending"), ("shop", "ascending")])
        assert found.column_names == ["shop", "number", "embedding", "error"]
        assert found.select(["shop", "number"]) == table.select(["shop", "number"])
        embeddings = np.array(found["embedding"].to_pylist()[:-1])
        assert_allclose(embeddings, ENCODER.transform(contents[:-1]), rtol=1e-3, atol=1e-3)

        with pytest.raises(ValueError, match="30 keys of .* are there more than once, such as {'number': "):
            embed_dataset(tmp_path / "in.parquet", tmp_path / "2", ENCODER, key_columns="number", **options)
        assert not (tmp_path / "2").exists()

    def test_webdataset_shards(self, cluster, pictures, tmp_path):
        files = sorted(pictures.iterdir())
        (tmp_path / "in").mkdir()
        for shard in range(3):
            with tarfile.open(tmp_path / "in" / f"{shard}.tar", "w") as archive:
                for path in files[shard::3]:
                    archive.add(path, f"{path.stem}.png")
                    archive.addfile(tarfile.TarInfo(f"{path.stem}.txt"), io.BytesIO())
                archive.addfile(tarfile.TarInfo("bare.txt"), io.BytesIO())
        report = embed_dataset(tmp_path / "in", tmp_path / "out", ENCODER, **ONE)
        assert (report.n_rows, report.n_errors) == (N_PICTURES + 3, 4)
        assert report.compared == ("__url__", "__key__")
        table = pq.read_table(tmp_path / "out").sort_by("__key__")
        assert [Path(url).name for url in table["__url__"].to_pylist()[:4]] == [
            "0.tar",
            "1.tar",
            "2.tar",
            "0.tar",
        ]
        embeddings = np.array(table["embedding"].to_pylist()[: N_PICTURES - 1], dtype=np.float32)
        assert_allclose(embeddings, ENCODER.transform(files[:-1]), atol=1e-5)

    def test_a_dataset_then_predictions_from_embeddings_and_images(self, cluster, pictures, tmp_path):
        files = sorted(str(path) for path in pictures.iterdir())
        dataset = ray.data.from_items([{"id": i, "file": file} for i, file in enumerate(files)])
        embed_dataset(dataset, tmp_path / "e", ENCODER, image_column="file", key_columns="id", **ONE)
        y = np.resize(["cat", "dog", "sun"], N_PICTURES - 1)
        pipeline = make_semobridge_pipeline(**MINI).fit(files[:-1], y)
        wanted = pipeline.predict_proba(files[:-1])
        options = {"probabilities": True, "top_k": 2, **ONE}
        predict_dataset(tmp_path / "e", tmp_path / "p1", pipeline[1], **options)
        predict_dataset(dataset, tmp_path / "p2", pipeline, column="file", key_columns="id", **options)
        for output in ("p1", "p2"):
            table = read(tmp_path / output)
            assert table["id"].to_pylist() == list(range(N_PICTURES))
            assert_allclose(np.array(table["probabilities"].to_pylist()[:-1]), wanted, atol=1e-5)
            assert table["label"].to_pylist() == [*pipeline.predict(files[:-1]), None]
            assert "not an image" in table["error"][N_PICTURES - 1].as_py()

        with pytest.raises(ValueError, match="results of another job: its 'model' is"):
            predict_dataset(
                tmp_path / "e",
                tmp_path / "p1",
                pipeline[1].fit(ENCODER.transform(files[:9]), y[:9]),
                **options,
            )


class TestResuming:
    def test_only_what_is_not_there_is_embedded(self, embedded, pictures, notes, tmp_path):
        output = tmp_path / "out"
        shutil.copytree(embedded[0], output)
        lost = min(output.glob("*.parquet"))
        missing = pq.read_table(lost)["path"].to_pylist()
        lost.unlink()
        report = embed_dataset(pictures, output, Scribbler(**MINI, notes=notes), **ONE)
        assert (report.n_before, report.n_new) == (N_PICTURES - len(missing), len(missing))
        assert set(notes.read_text().splitlines()) == set(missing)
        assert_whole(output, pictures)

    def test_rows_that_are_there_twice_are_dropped(self, embedded, pictures, tmp_path):
        output = tmp_path / "out"
        shutil.copytree(embedded[0], output)
        table = pq.read_table(output)
        pq.write_table(table.slice(0, 20), output / "part-of-a-worker-cut-off.parquet")
        (output / "_unfinished" / "rest").write_text("PAR1")
        report = embed_dataset(pictures, output, ENCODER)
        assert (report.n_before, report.n_new, report.n_repeats_dropped) == (N_PICTURES, 0, 20)
        assert_whole(output, pictures)
        assert not list((output / "_unfinished").iterdir())

    def test_a_picture_that_was_replaced_is_embedded_and_predicted_anew(self, embedded, pictures, tmp_path):
        folder, output, labels = tmp_path / "in", tmp_path / "out", tmp_path / "labels"
        shutil.copytree(pictures, folder)
        files = sorted(folder.iterdir())
        embed_dataset(folder, output, ENCODER, rows_per_file=16, **ONE)
        classifier = LogisticRegression().fit(ENCODER.transform(files[:2]), [0, 1])
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
        first, second = read(labels)["probabilities"].to_pylist()[:2]
        assert_allclose(first, second, atol=1e-5)

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

    def test_another_model_is_refused(self, embedded, pictures):
        with pytest.raises(ValueError, match="results of another job: its 'model' is"):
            embed_dataset(pictures, embedded[0], CLIPImageEncoder(**MINI, normalize=True))

    def test_a_run_that_was_killed_goes_on(self, cluster, pictures, notes, tmp_path):
        output = tmp_path / "out"
        script = tmp_path / "run.py"
        script.write_text(
            "import ray\n"
            "from sksemobridge.distributed import embed_dataset\n"
            "from tests.test_distributed_jobs import MINI, Scribbler\n"
            f"ray.init({cluster.address!r})\n"
            f"encoder = Scribbler(**MINI, notes={str(notes)!r}, pause=0.2)\n"
            f"embed_dataset({str(pictures)!r}, {str(output)!r}, encoder, rows_per_file=4, concurrency=1)\n"
        )
        driver = subprocess.Popen(
            [sys.executable, str(script)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: len(list(output.glob("*.parquet"))) >= 3)
        finally:
            driver.kill()
            driver.wait()
        written = sum(pq.read_metadata(file).num_rows for file in output.glob("*.parquet"))
        assert written < N_PICTURES
        notes.write_text("")
        report = embed_dataset(pictures, output, Scribbler(**MINI, notes=notes), **ONE)
        assert report.n_before >= written
        assert report.n_before + report.n_new == N_PICTURES
        # None of those written; workers of the killed run may have noted a last batch.
        assert count(notes) <= N_PICTURES - written + 8
        assert_whole(output, pictures)


class TestFaults:
    def test_a_worker_is_killed(self, cluster, pictures, notes, tmp_path):
        done = tmp_path / "done"

        def die_once(image):
            if str(image).endswith("030.png") and not done.exists():
                done.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        encoder = Scribbler(**MINI, notes=notes, accident=die_once)
        report = embed_dataset(pictures, tmp_path / "out", encoder, rows_per_file=8, **ONE)
        assert done.exists()
        assert report.n_new == N_PICTURES
        assert_whole(tmp_path / "out", pictures)

    def test_a_node_is_removed_and_actors_hold_all_cpus_that_are_left(
        self, cluster, pictures, notes, tmp_path
    ):
        node = cluster.add_node(num_cpus=2, **STORE)
        cluster.wait_for_nodes()
        removed = threading.Event()

        def remove():
            wait_for(lambda: count(notes) >= 12)
            cluster.remove_node(node, allow_graceful=False)
            removed.set()

        thread = threading.Thread(target=remove)
        thread.start()
        encoder = Scribbler(**MINI, notes=notes, pause=0.2)
        report = embed_dataset(pictures, tmp_path / "out", encoder, rows_per_file=4, concurrency=4)
        thread.join()
        assert removed.is_set()
        assert report.n_new == N_PICTURES
        assert_whole(tmp_path / "out", pictures)

    def test_actors_that_always_die_end_the_run(self, cluster, pictures, notes, tmp_path, monkeypatch):
        monkeypatch.setattr(_jobs, "_MAX_TASK_RETRIES", 1)

        def die(image):
            if str(image).endswith("030.png"):
                os.kill(os.getpid(), signal.SIGKILL)

        encoder = Scribbler(**MINI, notes=notes, accident=die)
        with pytest.raises(ray.exceptions.RayError) as caught:
            embed_dataset(pictures, tmp_path / "out", encoder, rows_per_file=8, **ONE)
        assert "too little memory" in caught.value.__notes__[0]
        report = embed_dataset(pictures, tmp_path / "out", Scribbler(**MINI, notes=notes), **ONE)
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


class TestRefusals:
    def test_more_actors_than_the_cluster_has_room_for(self, cluster, pictures, tmp_path):
        with pytest.raises(ValueError, match="leave no CPU for reading and writing"):
            embed_dataset(pictures, tmp_path / "out", ENCODER, concurrency=3)

    def test_a_dataset_that_gives_other_keys_each_time(self, cluster, tmp_path):
        def keys_anew(batch):
            return pa.table({"id": [uuid.uuid4().hex for _ in range(4)], "image": [b""] * 4})

        dataset = ray.data.range(4, override_num_blocks=1).map_batches(keys_anew, batch_format="pyarrow")
        with pytest.raises(RuntimeError, match="4 of 4 keys of 'a Ray dataset' are not in .*call again"):
            embed_dataset(dataset, tmp_path / "out", ENCODER, image_column="image", key_columns="id", **ONE)

    def test_a_model_that_nobody_knows(self, cluster, pictures, tmp_path):
        with pytest.raises(ModelLoadError, match="knows no model 'ViT-B-99'"):
            embed_dataset(pictures, tmp_path / "out", CLIPImageEncoder("ViT-B-99"))

    def test_a_classifier_that_is_not_fitted_and_more_labels_than_classes(self, cluster, tmp_path):
        classifier = LogisticRegression()
        with pytest.raises(NotFittedError):
            predict_dataset(tmp_path, tmp_path / "out", classifier)
        with pytest.raises(ValueError, match="top_k=3, but there are 2 classes"):
            predict_dataset(tmp_path, tmp_path / "out", classifier.fit([[0.0], [1.0]], [0, 1]), top_k=3)

    def test_a_key_of_the_name_of_a_result(self, cluster, tmp_path):
        pq.write_table(pa.table({"error": ["a"], "file": ["b"]}), tmp_path / "in.parquet")
        with pytest.raises(ValueError, match="Rename the key column 'error'"):
            embed_dataset(
                tmp_path / "in.parquet", tmp_path / "out", ENCODER, image_column="file", key_columns="error"
            )

    def test_an_output_in_the_source(self, cluster, pictures):
        with pytest.raises(ValueError, match="lies in the source"):
            embed_dataset(pictures, pictures / "out", ENCODER)

    def test_a_source_that_is_not_there(self, cluster, tmp_path):
        with pytest.raises(FileNotFoundError, match="no file or folder"):
            embed_dataset(tmp_path / "none", tmp_path / "out", ENCODER)

    def test_a_source_of_nothing_to_read(self, cluster, tmp_path):
        (tmp_path / "in.txt").touch()
        with pytest.raises(ValueError, match="neither images, Parquet nor WebDataset shards"):
            embed_dataset(tmp_path / "in.txt", tmp_path / "out", ENCODER)

    def test_a_table_without_word_of_its_columns(self, cluster, tmp_path):
        pq.write_table(pa.table({"id": [1], "picture": [b""]}), tmp_path / "in.parquet")
        with pytest.raises(ValueError, match="Say which column of .* has the images: id, picture"):
            embed_dataset(tmp_path / "in.parquet", tmp_path / "out", ENCODER)
        with pytest.raises(ValueError, match="Say by key_columns"):
            embed_dataset(tmp_path / "in.parquet", tmp_path / "out", ENCODER, image_column="picture")


class TestJoblib:
    @pytest.fixture(autouse=True)
    def backend(self, cluster):
        from ray.util.joblib import register_ray

        register_ray()

    def test_selection_gives_what_one_process_gives(self, world):
        X, y = world.draw(12)
        classifier = SeMoBridgeClassifier(world.text_encoder(), prompts="a photo of a {}.", blend="paper")
        search = GridSearchCV(classifier, {"alpha": [0.5, 2.0]}, cv=3)
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
        part = shared[::2]
        assert_array_equal(ray.get(ray.remote(lambda array: array + 0).remote(part)), X[::2])

        def place(arrays):
            # Memory of the node's object store is read-only, and no copy of it.
            return arrays[0].flags.writeable, arrays[0].flags.owndata

        tasks = [ray.remote(place).remote([shared]) for _ in range(2)]
        assert ray.get(tasks) == [(False, False)] * 2
