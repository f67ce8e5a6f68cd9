from dataclasses import replace

import numpy as np
import pytest

from tests.hostile import make_no_file
from vgtemplate.config.schema import ArmConfig
from vgtemplate.tracking.outbox import Description, Run, remember
from vgtemplate.tracking.words import (
    cut,
    describe_experiment,
    describe_run,
    differing_parameters,
    sorting_tags,
    write_parameters,
)


def configuration(**model):
    return ArmConfig.model_validate({"model": model}).model_dump(mode="json")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"depth": 7}, {"variant": "plain", "depth": "7", "norm": "none"}),
        ({"norm": "batch"}, {"variant": "batchnorm", "norm": "batch"}),
        ({"norm": "batch", "residual": True}, {"variant": "batchnorm residual"}),
        ({"norm": "layer"}, {"variant": "plain", "norm": "layer"}),
    ],
)
def test_tags_to_sort_by_are_those_of_the_network(model, expected):
    tags = sorting_tags(configuration(**model), range(3))
    assert tags.items() >= ({"seeds": "3"} | expected).items()


def test_network_of_ones_own_is_named_by_its_function():
    assert sorting_tags({"model": {"factory": "nets:make"}}, [0]) == {"seeds": "1", "variant": "nets:make"}
    assert sorting_tags({"module": {"factory": "gan:Gan"}}, [0]) == {"seeds": "1", "variant": "gan:Gan"}


def test_short_texts_stay_and_long_ones_say_that_they_were_cut():
    assert cut("x" * 100, 100) == "x" * 100
    assert len(cut("x" * 101, 100)) == 100
    assert cut("x" * 101, 100).endswith("(cut, 101 characters; the whole is in record.json)")


def test_parameters_have_marks_that_mlflow_takes():
    flat = write_parameters({"model": {"settings": {"größe (a)": 3}}}, [1, 2])
    assert flat == {"model.settings.gr__e _a_": "3", "seeds": "seeds 1 to 2", "num_seeds": "2"}


def test_run_says_what_came_out_and_how_to_read_its_charts(make_record):
    text = describe_run(make_record(depth=4, diverged_at=np.array([3, -1, -1])))
    assert "`plain` on digits, seeds 0 to 2" in text
    assert "- test accuracy: 0.6 [0.5, 0.7]" in text
    assert "- gradient slope, decades per layer: -1 [-1, -1]" in text
    assert "1 of 3 seeds diverged" in text
    assert "`layer_as_step`" in text


def test_experiment_leads_to_its_table_and_its_charts():
    first, *rest = describe_experiment(Description("e", "confirmed: it shrinks", "- slope"), "7").splitlines()
    assert first.startswith("confirmed: it shrinks ([compare the arms](#/experiments/7/runs?viewStateShareKey=arms")
    assert "[in charts](#/experiments/7/runs?viewStateShareKey=arms&compareRunsMode=CHART" in first
    assert "- slope" in rest


def test_parameters_that_differ_are_found_in_the_records_of_an_experiment(results, store_record):
    store_record("k1", depth=4)
    store_record("k2", depth=6)
    store_record("k3", depth=9)
    for key in ("k1", "k2", "gone"):
        remember(results, Run("e", f"arm {key}", key))
    remember(results, replace(Run("e", "arm k1", "k3"), seed=1))
    assert differing_parameters(results, "e") == ["model.depth"]
    assert differing_parameters(results, "other") == []


def test_record_that_cannot_be_read_is_passed_over(results, store_record):
    store_record("k1", depth=4)
    store_record("k2", depth=6)
    for content in (b"[" * 200_000, b"[]", b"{}", b'{"configuration": [], "seeds": 3}', None):
        key = f"bad {content and content[:20]!r} {content and len(content)}".replace("/", "")
        (results / key).mkdir()
        if content is None:
            make_no_file(results / key, "pipe", "record.json")
        else:
            (results / key / "record.json").write_bytes(content)
        remember(results, Run("e", f"arm {key}", key))
    for key in ("k1", "k2"):
        remember(results, Run("e", f"arm {key}", key))
    assert differing_parameters(results, "e") == ["model.depth"]
