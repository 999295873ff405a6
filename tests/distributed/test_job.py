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
from sklearn.linear_model import LogisticRegression

from sksemobridge import CLIPImageEncoder
from sksemobridge.distributed import EmbedImages, Predict, _job, run_job
from sksemobridge.distributed._output import OutputFolder

from .helpers import ENCODER, MINI, N_PICTURES, ONE, STORE, Scribbler, assert_whole, read

ray = pytest.importorskip("ray", reason="needs the extra ray")
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


class TestResults:
    def test_a_folder(self, embedded, pictures):
        output, report = embedded
        assert report == (N_PICTURES, N_PICTURES, 1)
        assert len(list(output.glob("*.parquet"))) > 1
        assert_whole(output, pictures)

    def test_a_list_of_paths_some_of_which_no_file_can_have(self, cluster, pictures, tmp_path):
        picture = shutil.copy(pictures / "000.png", tmp_path / "a.png")
        job = [picture, "a\0.png", "a" * 9999], tmp_path / "out", EmbedImages(ENCODER)
        assert run_job(*job, **ONE) == (3, 3, 2)
        picture.unlink()
        # Its row stays.
        assert run_job(*job, **ONE) == (3, 0, 2)
        assert pq.read_table(tmp_path / "out")["file_version"].null_count == 2

    def test_a_dataset_then_predictions_from_embeddings(self, cluster, pictures, tmp_path):
        contents = [path.read_bytes() for path in sorted(pictures.iterdir())]
        pq.write_table(
            pa.table({"id": range(N_PICTURES), "price": range(N_PICTURES), "picture": contents}),
            tmp_path / "in.parquet",
        )
        dataset = ray.data.read_parquet(tmp_path / "in.parquet")
        run_job(
            dataset, tmp_path / "e", EmbedImages(ENCODER, column="picture"), key_column="id", **ONE
        )
        table = read(tmp_path / "e")
        assert table.column_names == ["id", "embedding", "error"]
        X = ENCODER.transform(contents[:-1])
        assert_allclose(table["embedding"].to_pylist()[:-1], X, atol=1e-5)

        y = np.resize(["cat", "dog", "sun"], N_PICTURES - 1)
        classifier = LogisticRegression().fit(X, y)
        by_id = {"key_column": "id", **ONE}
        run_job(tmp_path / "e", tmp_path / "p", Predict(classifier, probabilities=True), **by_id)
        table = read(tmp_path / "p")
        assert table["id"].to_pylist() == list(range(N_PICTURES))
        assert table["label"].to_pylist() == [*classifier.predict(X), None]
        assert_allclose(
            table["probabilities"].to_pylist()[:-1], classifier.predict_proba(X), atol=1e-5
        )
        assert "not an image" in table["error"][N_PICTURES - 1].as_py()

        tensors = ray.data.from_items([{"id": 0, "embedding": X[0]}])
        run_job(tensors, tmp_path / "tensors", Predict(classifier), **by_id)
        assert read(tmp_path / "tensors")["label"].to_pylist() == classifier.predict(X[:1]).tolist()
        with pytest.raises(ValueError, match="results of another job, with other .*'classifier'"):
            run_job(tmp_path / "e", tmp_path / "p", Predict(classifier.fit(X[:9], y[:9])), **by_id)

    def test_a_dataset_of_paths_which_are_the_keys(self, cluster, pictures, tmp_path):
        dataset = ray.data.from_items([{"path": str(path)} for path in sorted(pictures.iterdir())])
        run_job(dataset, tmp_path / "out", EmbedImages(ENCODER, column="path"), **ONE)
        assert_whole(tmp_path / "out", pictures)


class TestResuming:
    def test_only_what_is_not_there_is_embedded(self, embedded, pictures, notes, tmp_path):
        output = shutil.copytree(embedded[0], tmp_path / "out")
        lost = min(output.glob("*.parquet"))
        missing = pq.read_table(lost)["path"].to_pylist()
        lost.unlink()
        report = run_job(pictures, output, EmbedImages(Scribbler(notes)), **ONE)
        assert report.n_new == len(missing)
        assert set(notes.read_text().splitlines()) == set(missing)
        assert_whole(output, pictures)

    def test_rows_that_are_there_twice_are_dropped(self, embedded, pictures, tmp_path):
        output = shutil.copytree(embedded[0], tmp_path / "out")
        table = pq.read_table(output)
        pq.write_table(table.slice(0, 20), output / "part-of-a-worker-cut-off.parquet")
        (output / ".unfinished-rest").write_text("PAR1")
        assert run_job(pictures, output, EmbedImages(ENCODER)).n_new == 0
        assert_whole(output, pictures)
        assert not list(output.glob(".unfinished*"))

    def test_a_picture_that_was_replaced_is_embedded_and_predicted_anew(
        self, embedded, pictures, tmp_path
    ):
        folder, output = shutil.copytree(pictures, tmp_path / "in"), tmp_path / "out"
        run_job(folder, output, EmbedImages(ENCODER), rows_per_file=16, **ONE)
        files = sorted(folder.iterdir())
        days = np.array(["2023-01-01", "2024-01-01"], dtype="datetime64[D]")
        classifier = LogisticRegression().fit(ENCODER.transform(files[:2]), days)

        def predict():
            step = Predict(classifier, probabilities=True)
            return run_job(output, tmp_path / "labels", step, **ONE)

        predict()
        shutil.copyfile(files[1], files[0])
        os.utime(files[2])
        files[3].unlink()
        report = run_job(folder, output, EmbedImages(ENCODER), rows_per_file=16, **ONE)
        # The row of a file that is not there any more stays.
        assert report == (N_PICTURES - 1, 2, 1)
        table = read(output)
        assert len(table) == N_PICTURES
        assert_allclose(table["embedding"][0].as_py(), table["embedding"][1].as_py(), atol=1e-5)
        assert f"{files[2].stat().st_mtime_ns} ns" in table["file_version"][2].as_py()
        assert predict().n_new == 2
        table = read(tmp_path / "labels")
        assert_allclose(*table["probabilities"].to_pylist()[:2], atol=1e-5)
        assert set(table["label"].to_pylist()) == {*days.tolist(), None}

    def test_beside_another_job_on_the_same_output_it_does_not_begin(self, embedded, pictures):
        unfinished = embedded[0] / ".unfinished-of-the-other"
        with OutputFolder(embedded[0], ["path"]).locked():
            unfinished.touch()
            with pytest.raises(RuntimeError, match="Another job is writing"):
                run_job(pictures, embedded[0], EmbedImages(ENCODER))
            assert unfinished.exists()
        assert run_job(pictures, embedded[0], EmbedImages(ENCODER)).n_new == 0

    def test_results_of_another_model_or_reading_are_refused(self, embedded, pictures, monkeypatch):
        with pytest.raises(ValueError, match="results of another job, with other .'models'"):
            run_job(pictures, embedded[0], EmbedImages(CLIPImageEncoder(**MINI, normalize=True)))
        monkeypatch.setattr("sksemobridge.distributed._steps.READING_VERSION", 0)
        with pytest.raises(ValueError, match="results of another job, with other .'reading'"):
            run_job(pictures, embedded[0], EmbedImages(ENCODER))

    def test_a_run_that_was_killed_goes_on(self, cluster, pictures, notes, tmp_path):
        output = tmp_path / "out"
        program = (
            "import time, ray\nfrom sksemobridge.distributed import EmbedImages, run_job\nfrom"
            f" tests.distributed.helpers import Scribbler\nray.init({cluster.address!r})\nencoder ="
            f" Scribbler({str(notes)!r}, before=lambda image:"
            f" time.sleep(0.2))\nrun_job({str(pictures)!r}, {str(output)!r}, EmbedImages(encoder),"
            " rows_per_file=4, n_actors=1)\n"
        )
        with subprocess.Popen([sys.executable, "-c", program]) as driver:
            try:
                wait_for(
                    lambda: driver.poll() is not None or len(list(output.glob("*.parquet"))) >= 3
                )
                assert driver.poll() is None
            finally:
                driver.kill()
        written = sum(pq.read_metadata(file).num_rows for file in output.glob("*.parquet"))
        assert written < N_PICTURES
        notes.write_text("")
        report = run_job(pictures, output, EmbedImages(Scribbler(notes)), **ONE)
        assert report.n_new <= N_PICTURES - written
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
        report = run_job(pictures, tmp_path / "out", EmbedImages(encoder), rows_per_file=8, **ONE)
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
            step = EmbedImages(encoder)
            report = run_job(pictures, tmp_path / "out", step, rows_per_file=4, n_actors=4)
        removed.result()
        assert report.n_new == N_PICTURES
        assert_whole(tmp_path / "out", pictures)

    def test_actors_that_always_die_end_the_run(
        self, cluster, pictures, notes, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(_job, "_MAX_TASK_RETRIES", 1)

        def die(image):
            if str(image).endswith("030.png"):
                os.kill(os.getpid(), signal.SIGKILL)

        step = EmbedImages(Scribbler(notes, before=die))
        with pytest.raises(ray.exceptions.RayError):
            run_job(pictures, tmp_path / "out", step, rows_per_file=8, **ONE)
        report = run_job(pictures, tmp_path / "out", EmbedImages(Scribbler(notes)), **ONE)
        assert report.n_new < N_PICTURES
        assert_whole(tmp_path / "out", pictures)

    def test_a_damaged_file_of_source_or_output_is_named(self, embedded, pictures, tmp_path):
        output = shutil.copytree(embedded[0], tmp_path / "out")
        damaged = max(output.glob("*.parquet"))
        os.truncate(damaged, 1000)
        with pytest.raises(ValueError, match=damaged.name):
            run_job(pictures, output, EmbedImages(ENCODER))
        with pytest.raises(ValueError, match=damaged.name):
            run_job(
                output,
                tmp_path / "labels",
                Predict(LogisticRegression().fit([[0.0], [1.0]], [0, 1])),
            )


class TestRefusals:
    @pytest.mark.parametrize(
        ("column", "key", "message"),
        [
            ("image", "id", "has no column 'image'. Its columns are .'id', 'number', 'picture'"),
            ("picture", "path", "has no column 'path'"),
            ("picture", "number", "2 rows of .* repeat a 'number'"),
        ],
    )
    def test_columns_of_a_dataset(self, cluster, tmp_path, column, key, message):
        rows = [{"id": i, "number": i // 2, "picture": b""} for i in range(4)]
        step = EmbedImages(ENCODER, column=column)
        with pytest.raises(ValueError, match=message):
            run_job(ray.data.from_items(rows), tmp_path / "out", step, key_column=key)
        assert not (tmp_path / "out").exists()

    def test_no_images_and_no_embeddings(self, cluster, pictures, tmp_path):
        with pytest.raises(ValueError, match="The source has no images"):
            run_job([], tmp_path / "out", EmbedImages(ENCODER))
        classifier = Predict(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
        with pytest.raises(ValueError, match="no .parquet files .* begin with EmbedImages"):
            run_job(pictures, tmp_path / "out", classifier)

    @pytest.mark.parametrize("options", [{"n_actors": 3}, {"num_gpus": 1}])
    def test_more_actors_than_have_room(self, cluster, pictures, tmp_path, options):
        with pytest.raises(ValueError, match="no room for .* it has 3 CPUs and 0 GPUs"):
            run_job(pictures, tmp_path / "out", EmbedImages(ENCODER), **options)

    def test_a_dataset_that_gives_other_keys_each_time(self, cluster, tmp_path):
        def keys_anew(batch):
            return pa.table({"id": [uuid.uuid4().hex for _ in range(4)], "image": [b""] * 4})

        dataset = ray.data.range(4, override_num_blocks=1).map_batches(
            keys_anew, batch_format="pyarrow"
        )
        with pytest.raises(RuntimeError, match="4 of 4 keys of .* are missing. Call again"):
            run_job(dataset, tmp_path / "out", EmbedImages(ENCODER), key_column="id", **ONE)

    def test_a_name_that_is_no_text(self, cluster, tmp_path):
        try:
            (tmp_path / "\udcff.png").touch()
        except OSError:
            pytest.skip("here all names are text")
        with pytest.raises(ValueError, match="Rename the file .*udcff.png"):
            run_job(tmp_path, tmp_path / "out", EmbedImages(ENCODER))
