import subprocess
import sys
from pathlib import Path

import pytest

from vgtemplate.config.catalogue import DATASETS
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data.files import data_root, is_present, resolve
from vgtemplate.data.sources import LOADERS, fingerprint, load_images


def test_data_root_is_the_variable_else_data(monkeypatch):
    monkeypatch.setenv("VGT_DATA_DIR", "some/where")
    assert data_root() == Path("some/where")
    monkeypatch.setenv("VGT_DATA_DIR", "")
    assert data_root() == Path("data")
    monkeypatch.delenv("VGT_DATA_DIR")
    assert data_root() == Path("data")
    monkeypatch.setenv("VGT_DATA_DIR", "~/data")
    assert data_root() == Path.home() / "data"


def test_data_set_is_present_when_all_its_files_are(tiny_kmnist):
    assert is_present("kmnist", tiny_kmnist)
    assert not is_present("cifar100", tiny_kmnist)
    (tiny_kmnist / "KMNIST/raw/t10k-labels-idx1-ubyte.gz").unlink()
    assert not is_present("kmnist", tiny_kmnist)


@pytest.mark.parametrize("name", ["digits", "synthetic", "image_folder"])
def test_data_set_that_needs_no_fetching_resolves_to_itself(tmp_path, name):
    assert is_present(name, tmp_path)
    assert resolve(name, tmp_path) == name


@pytest.mark.parametrize("name", ["auto", "mnist"])
def test_intact_mnist_is_taken(tiny_mnist, name):
    assert resolve(name, tiny_mnist) == "mnist"


def test_auto_has_the_fingerprint_and_the_images_of_what_it_stands_for(tiny_mnist):
    auto, mnist = DataConfig(), DataConfig(dataset="mnist")
    assert fingerprint(auto, tiny_mnist) == fingerprint(mnist, tiny_mnist)
    assert load_images(auto, tiny_mnist).name == "mnist"


def test_unknown_name_is_an_error(tmp_path):
    with pytest.raises(UserError, match="unknown data set 'cifar'"):
        resolve("cifar", tmp_path)


def test_fingerprints_tell_the_data_sets_apart(tiny_mnist, tiny_kmnist, tiny_cifar):
    names = ("mnist", "kmnist", "cifar10", "digits", "synthetic")
    assert len({fingerprint(DataConfig(dataset=name), tiny_mnist) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["mnist", "kmnist", "cifar10", "digits", "synthetic"])
def test_planned_fingerprint_is_that_of_the_loaded_images(tiny_mnist, tiny_kmnist, tiny_cifar, name):
    config = DataConfig(dataset=name)
    assert fingerprint(config, tiny_mnist) == load_images(config, tiny_mnist).fingerprint


def test_fingerprint_does_not_depend_on_what_is_used_of_the_data(tiny_mnist):
    whole = fingerprint(DataConfig(dataset="mnist"), tiny_mnist)
    assert fingerprint(DataConfig(dataset="mnist", num_train=7, scaling="unit"), tiny_mnist) == whole


def test_planning_loads_neither_torch_nor_scikit_learn(tmp_path):
    program = (
        "import sys; from pathlib import Path; from vgtemplate.config.schema import DataConfig;"
        "from vgtemplate.data.files import resolve; from vgtemplate.data.sources import fingerprint, load_images;"
        "names = ['digits', 'synthetic'];"
        "[fingerprint(DataConfig(dataset=resolve(name, Path())), Path()) for name in names];"
        "load_images(DataConfig(dataset='digits'), Path());"
        "heavy = {'torch', 'torchvision', 'sklearn', 'pytorch_lightning', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_data_set_of_the_catalogue_has_its_loader():
    assert set(LOADERS) == set(DATASETS)


@pytest.mark.real_data
def test_real_mnist_is_what_auto_stands_for(mnist_root):
    assert resolve("auto", mnist_root) == "mnist"
