import pytest
from click.testing import CliRunner

from vgtemplate.cli.commands.data import data
from vgtemplate.config.catalogue import DATASETS
from vgtemplate.config.errors import UserError
from vgtemplate.data import checksums
from vgtemplate.data.checksums import DataFile, md5_of

FILES = {"MNIST/raw/images": b"images", "MNIST/raw/labels": b"labels"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data folder that holds a MNIST of two tiny files."""
    monkeypatch.setenv("VGT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    rows = tuple(DataFile(path, md5_of(content), num_bytes=len(content)) for path, content in FILES.items())
    monkeypatch.setitem(checksums.FILES, "mnist", rows)
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for path, content in FILES.items():
        (tmp_path / path).write_bytes(content)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(data, arguments)


def state_of(output, name):
    return next(line for line in output.splitlines() if line.startswith(f"{name} "))


def test_list_shows_every_data_set_and_its_state(root):
    result = run("list")
    assert result.exit_code == 0
    for row in DATASETS.values():
        assert row.name in result.output
    assert "intact" in state_of(result.output, "mnist")
    assert "missing" in state_of(result.output, "cifar10")
    assert "intact" in state_of(result.output, "digits")


def test_list_shows_damage_and_gaps(root):
    (root / "MNIST/raw/labels").write_bytes(b"lab")
    assert "damaged" in state_of(run("list").output, "mnist")
    (root / "MNIST/raw/labels").unlink()
    assert "incomplete" in state_of(run("list").output, "mnist")


def test_verify_of_intact_files_succeeds(root):
    result = run("verify")
    assert result.exit_code == 0
    assert result.output.count(": ok") == 3
    assert "cifar" not in result.output


@pytest.mark.parametrize("content", [b"lab", b"LABELS"])
@pytest.mark.parametrize("arguments", [(), ("mnist",)])
def test_verify_names_the_damaged_file_and_exits_with_2(root, content, arguments):
    (root / "MNIST/raw/labels").write_bytes(content)
    result = run("verify", *arguments)
    assert result.exit_code == 2
    assert f"{root / 'MNIST/raw/labels'}: {'truncated' if len(content) == 3 else 'altered'}" in result.output
    assert f"{root / 'MNIST/raw/images'}: ok" in result.output


def test_verify_exits_with_2_where_a_file_is_missing(root):
    (root / "MNIST/raw/labels").unlink()
    assert run("verify").exit_code == 2
    assert run("verify", "cifar10").exit_code == 2


def test_verify_says_so_where_there_is_nothing_to_verify(root):
    result = run("verify", "synthetic")
    assert result.exit_code == 0
    assert "no files to verify" in result.output


def test_fetch_leaves_an_intact_data_set_as_it_is(root):
    result = run("fetch", "mnist")
    assert result.exit_code == 0
    assert "mnist: intact" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fetch", "digits"), "'digits' needs no fetching"),
        (("fetch", "mnits"), "did you mean 'mnist'"),
        (("verify", "mnits"), "did you mean 'mnist'"),
    ],
)
def test_unusable_name_is_a_user_error(root, arguments, message):
    result = run(*arguments)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


def test_fetch_needs_a_name(root):
    assert run("fetch").exit_code == 2
