import base64
import json
import zlib
from typing import Any

from vgtemplate.tracking.view import first_screen, link_to_table


def state_of(tag: str) -> dict[str, Any]:
    """Read a view as the UI does: a mark, then base64 of what zlib has compressed."""
    assert tag.startswith("deflate;")
    return dict(json.loads(zlib.decompress(base64.b64decode(tag.removeprefix("deflate;")))))


def test_columns_are_what_came_out_and_then_what_differs():
    state = state_of(first_screen(["model.depth", "seeds"]))
    assert state["selectedColumns"] == [
        "metrics.`test_accuracy`",
        "metrics.`test_score`",
        "metrics.`final_loss`",
        "metrics.`gradient_slope`",
        "metrics.`diverged_seeds`",
        "params.`model.depth`",
        "params.`seeds`",
    ]


def test_every_chart_has_a_section_and_those_by_layer_say_so():
    state = state_of(first_screen([]))
    names = {section["uuid"]: section["name"] for section in state["compareRunSections"]}
    placed = {chart["metricKey"]: names[chart["metricSectionId"]] for chart in state["compareRunCharts"]}
    assert placed["curves/train_loss"] == "Over the training steps"
    by_layer = {metric for metric, name in placed.items() if "Step = layer" in name}
    assert by_layer == {metric for metric in placed if metric.startswith("layer_as_step/")}


def test_a_tag_has_room_for_any_number_of_parameters():
    assert len(first_screen([f"model.settings.a_long_name_of_a_setting_{number}" for number in range(300)])) < 5000


def test_link_leads_to_training_runs_and_not_to_traces_of_language_models():
    assert link_to_table("7") == "#/experiments/7/runs?viewStateShareKey=arms&workflowType=machine_learning"
    assert "compareRunsMode=CHART" in link_to_table("7", charts=True)
