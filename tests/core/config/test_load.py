"""Whatever cannot be used is answered with one line that names the file, the key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, resolve_arms


def write(folder: Path, text: str, name: str = "it") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    """Load what must be refused, and return the message after checking that it is one line that names the file."""
    with pytest.raises(UserError) as caught:
        load_experiment(path, ExperimentConfig)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def arm(settings: str) -> str:
    return f"arms: {{a: {settings}}}\n"


def nested(kind: str, depth: int = 50) -> str:
    """Return an alias bomb: a structure of 2^depth leaves in a few hundred characters."""
    text = "&x0 leaf"
    for level in range(1, depth):
        both = f"{text}, *x{level - 1}"
        text = f"&x{level} [{both}]" if kind == "list" else f"&x{level} {{p: {both.replace(', *', ', q: *')}}}"
    return text


def test_valid_experiment_is_loaded(tmp_path: Path) -> None:
    experiment = load_experiment(write(tmp_path, arm("{model: {depth: 3}}")), ExperimentConfig)
    assert experiment.arms == {"a": {"model": {"depth": 3}}}


UNKNOWN_KEYS = {
    "top level": ("armz: {a: {}}", "armz: unknown key 'armz'; did you mean 'arms'?"),
    "section": (arm("{mdel: {}}"), "arms.a.mdel: unknown key 'mdel'; did you mean 'model'?"),
    "model": (arm("{model: {detph: 3}}"), "arms.a.model.detph: unknown key 'detph'; did you mean 'depth'?"),
    "initialiser": (
        arm("{model: {initialiser: {name: he_normal, gian: 2}}}"),
        "arms.a.model.initialiser.gian: unknown key 'gian'; did you mean 'gain'?",
    ),
    "data": (
        arm("{data: {batchsize: 3}}"),
        "arms.a.data.batchsize: unknown key 'batchsize'; did you mean 'batch_size'",
    ),
    "optimiser": (arm("{optimiser: {lrr: 1}}"), "arms.a.optimiser.lrr: unknown key 'lrr'; did you mean 'lr'?"),
    "clipping": (arm("{clipping: {treshold: 1}}"), "arms.a.clipping.treshold: unknown key 'treshold'; did you mean"),
    "training": (arm("{training: {setps: 1}}"), "arms.a.training.setps: unknown key 'setps'; did you mean 'steps'?"),
    "probes": (arm("{probes: {evry: 1}}"), "arms.a.probes.evry: unknown key 'evry'; did you mean 'every'?"),
}


@pytest.mark.parametrize(("text", "message"), UNKNOWN_KEYS.values(), ids=UNKNOWN_KEYS)
def test_unknown_key_is_named_with_the_nearest(text: str, message: str, tmp_path: Path) -> None:
    said = refusal(write(tmp_path, text))
    assert said.startswith(message)
    assert "known: " in said


UNKNOWN_NAMES = {
    "activation": (arm("{model: {activation: rleu}}"), "arms.a.model.activation", "rleu", "relu"),
    "initialiser": (arm("{model: {initialiser: he_norm}}"), "arms.a.model.initialiser.name", "he_norm", "he_normal"),
    "data set": (arm("{data: {dataset: mnits}}"), "arms.a.data.dataset", "mnits", "mnist"),
    "variant": (arm("{variants: [bacthnorm]}"), "arms.a.variants", "bacthnorm", "batchnorm"),
}


@pytest.mark.parametrize(("kind", "case"), UNKNOWN_NAMES.items(), ids=UNKNOWN_NAMES)
def test_unknown_name_is_answered_with_the_nearest(
    kind: str, case: tuple[str, str, str, str | None], tmp_path: Path
) -> None:
    text, key, name, nearest = case
    hint = f"did you mean {nearest!r}? " if nearest else ""
    assert refusal(write(tmp_path, text)).startswith(f"{key}: unknown {kind} {name!r}; {hint}known: ")


BAD_VALUES = {
    "negative depth": (arm("{model: {depth: -3}}"), "arms.a.model.depth: ", "greater than or equal to 1, not '-3'"),
    "text for a number": (arm("{optimiser: {lr: banana}}"), "arms.a.optimiser.lr: ", "valid number, not 'banana'"),
    "infinite rate": (arm("{optimiser: {lr: .inf}}"), "arms.a.optimiser.lr: ", "finite number"),
    "rate beyond floats": (arm("{optimiser: {lr: 1e999}}"), "arms.a.optimiser.lr: ", "finite number"),
    "number in quotes": (arm('{model: {depth: "3"}}'), "arms.a.model.depth: ", "valid integer, not '3'"),
    "truth for a number": (arm("{model: {depth: yes}}"), "arms.a.model.depth: ", "valid integer, not 'True'"),
    "fraction of a layer": (arm("{model: {depth: 2.5}}"), "arms.a.model.depth: ", "valid integer, not '2.5'"),
    "one width of several": (arm("{model: {width: [8, 0]}}"), "arms.a.model.width.1: ", "equal to 1, not '0'"),
    "no widths": (arm("{model: {width: []}}"), "arms.a.model.width: ", "at least 1 item"),
    "more images than exist": (
        arm("{data: {num_train: 0x" + "f" * 5000 + "}}"),
        "arms.a.data.num_train: ",
        "less than",
    ),
    "unknown choice": (arm("{model: {kind: rnn}}"), "arms.a.model.kind: ", "'mlp', 'cnn' or 'resnet', not 'rnn'"),
    "section is a date": (arm("{model: 2020-01-01}"), "arms.a.model: ", "a mapping of settings, not a date"),
    "section is empty": (arm("{model: }"), "arms.a.model: ", "a mapping of settings"),
    "numeric key": (arm("{model: {1: 2}}"), "arms.a.model.1: ", "keys should be strings"),
    "variants are no list": (arm("{variants: batchnorm}"), "arms.a.variants: ", "must be a list of plain, batchnorm"),
    "variants are nested": (arm("{variants: [[plain]]}"), "arms.a.variants: ", "must be names, not a list"),
    "missing std": (arm("{model: {initialiser: normal}}"), "arms.a.model.initialiser: ", "needs a std"),
    "needless std": (arm("{model: {initialiser: {name: he_normal, std: 1}}}"), "arms.a.model.initialiser: ", "no std"),
    "momentum of adam": (arm("{optimiser: {name: adam, momentum: 0.9}}"), "arms.a.optimiser: ", "momentum"),
    "folder without path": (arm("{data: {dataset: image_folder}}"), "arms.a.data: ", "data.path goes with"),
    "validation without images": (arm("{training: {validate_every: 5}}"), "arms.a: ", "data.num_validation above 0"),
    "arms are a list": ("arms: [a]\n", "arms: ", "a mapping of settings, not a list"),
    "no arms": ("notes: empty\n", "arms: ", "is missing; name at least one arm"),
}


@pytest.mark.parametrize(("text", "key", "message"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_value_is_named_with_its_key(text: str, key: str, message: str, tmp_path: Path) -> None:
    said = refusal(write(tmp_path, text))
    assert said.startswith(key)
    assert message in said


NO_YAML = {
    "open bracket": ("arms: [", "line 1, column 8"),
    "tabs": ("arms:\n\t- a\n", "line 2, column 1"),
    "key twice": ("arms: {a: {}}\narms: {b: {}}\n", "line 2, column 1 the key 'arms' is given twice"),
    "key twice inside": (arm("{model: {depth: 1, depth: 2}}"), "the key 'depth' is given twice"),
    "python object": (arm("!!python/object:os.system {}"), "could not determine a constructor for the tag"),
    "python call": (arm('!!python/object/apply:os.system ["true"]'), "could not determine a constructor for the tag"),
    "date that is none": ("notes: !!timestamp soon", "a value does not fit its !!tag"),
    "truth that is none": ("notes: !!bool perhaps", "a value does not fit its !!tag"),
    "integer that is none": ("notes: !!int ''", "a value does not fit its !!tag"),
    "month 13": ("notes: 2020-13-01", "is not YAML"),
    "two documents": ("arms: {}\n---\narms: {}\n", "line 2, column 1"),
    "undefined alias": (arm("*b"), "found undefined alias"),
    "control character": ("arms: \x00", "is not YAML"),
    "list": ("- a\n- b\n", "must hold a mapping"),
    "text": ("Lorem ipsum", "must hold a mapping"),
    "numeric keys": ("1: 2\n", "must hold a mapping"),
    "nothing": ("", "must hold a mapping"),
    "bottomless": (arm("[" * 900 + "]" * 900), "is not YAML"),
}


@pytest.mark.parametrize(("text", "message"), NO_YAML.values(), ids=NO_YAML)
def test_broken_yaml_is_refused(text: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(write(tmp_path, text))


@pytest.mark.parametrize("kind", ["list", "mapping"])
@pytest.mark.parametrize(
    "place",
    [
        "arms: BOMB",
        "arms: {a: BOMB}",
        "arms: {a: {model: BOMB}}",
        "arms: {a: {model: {activation: BOMB}}}",
        "arms: {a: {model: {width: BOMB}}}",
        "arms: {a: {model: {initialiser: BOMB}}}",
        "arms: {a: {optimiser: {lr: BOMB}}}",
        "arms: {a: {variants: BOMB}}",
        "arms: {a: {variants: [BOMB]}}",
        "arms: {a: {}}\nnotes: BOMB",
        "arms: {a: {}}\nbase: BOMB",
        "BOMB",
    ],
)
def test_alias_bomb_is_refused_without_being_unfolded(place: str, kind: str, tmp_path: Path) -> None:
    assert len(refusal(write(tmp_path, place.replace("BOMB", nested(kind))))) < 1000


@pytest.mark.parametrize("text", ["arms: &a [*a]", "arms: &a {a: *a}", arm("&a {model: *a}"), "&a {arms: *a}"])
def test_structure_that_contains_itself_is_refused(text: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, text))


def test_merge_keys_of_yaml_are_no_duplicates(tmp_path: Path) -> None:
    text = "arms: {a: {model: &m {<<: {depth: 5, width: 7}, depth: 6}}, b: {model: {<<: *m, width: 8}}}\n"
    path = write(tmp_path, text)
    arms = resolve_arms(path, load_experiment(path, ExperimentConfig))
    assert (arms["a"].model.depth, arms["a"].model.width) == (6, 7)
    assert (arms["b"].model.depth, arms["b"].model.width) == (6, 8)


@pytest.mark.parametrize("name", ["../x", "..", "/etc/passwd", "A", "a b", "", ".hidden", "a..b", "a" * 81, "é"])
def test_names_that_could_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    for text, key in (
        (f'arms: {{"{name}": {{}}}}', "arms."),
        (f'base: "{name}"\narms: {{a: {{}}}}', "base: "),
    ):
        said = refusal(write(tmp_path, text))
        assert said.startswith(key)
        assert "cannot be a name; allowed: lower-case letters" in said


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.yaml") == "no such file"
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("notes: caf\xe9".encode("latin-1"))
    assert refusal(latin).startswith("cannot be read: 'utf-8' codec")
    assert refusal(tmp_path).startswith("cannot be read: ")


def test_problem_of_the_base_names_the_base(tmp_path: Path) -> None:
    path = write(tmp_path, "base: ground\narms: {a: {}}")
    base = tmp_path / "ground.yaml"
    for text, message in (
        (None, f"{path}: base: unknown base 'ground'; known: cifar, "),
        ("model: {depth: 0}", f"{base}: model.depth: input should be greater"),
        ("mdel: {}", f"{base}: mdel: unknown key 'mdel'; did you mean 'model'?"),
        ("variants: [reisdual]", f"{base}: variants: unknown variant 'reisdual'; did you mean 'residual'?"),
        ("[", f"{base}: line 1"),
    ):
        if text is not None:
            base.write_text(text)
        with pytest.raises(UserError) as caught:
            load_experiment(path, ExperimentConfig)
        assert str(caught.value).startswith(message)
        assert len(str(caught.value).splitlines()) == 1


def test_several_problems_are_counted(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, arm("{model: {depth: 0, width: 0, dropout: 2}}")))
    assert said.endswith("(and 2 more)")


def test_line_break_in_a_path_or_a_value_does_not_break_the_line(tmp_path: Path) -> None:
    folder = tmp_path / "two\nlines"
    folder.mkdir()
    with pytest.raises(UserError) as caught:
        load_experiment(write(folder, arm('{model: {activation: "a\\nb"}}')), ExperimentConfig)
    assert len(str(caught.value).splitlines()) == 1
