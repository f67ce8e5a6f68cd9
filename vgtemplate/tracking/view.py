"""The first screen of an experiment in the MLflow UI: which columns and which charts, in which order.

The UI keeps such a choice in each browser, and lets it be shared under a key in a tag of the experiment; a link with
the key opens it. Knows nothing of mlflow.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

_KEY = "arms"
VIEW_TAG = f"mlflow.sharedViewState.{_KEY}"
"""The tag of an experiment in which its first screen stands."""
_MAX_PARAMETERS = 8
_METRICS = ("test_accuracy", "test_score", "final_loss", "gradient_slope", "diverged_seeds")
_SECTIONS = {
    "What came out": ("BAR", ("test_accuracy", "test_score", "final_loss", "gradient_slope", "diverged_seeds")),
    "Over the training steps": (
        "LINE",
        ("curves/train_loss", "curves/validation_loss", "curves/train_accuracy", "curves/validation_accuracy"),
    ),
    "By layer (Step = layer)": (
        "LINE",
        (
            "layer_as_step/gradient_log10_at_start",
            "layer_as_step/gradient_log10_at_end",
            "layer_as_step/signal_log10_at_start",
            "layer_as_step/travel_at_end",
        ),
    ),
}
"""Of each section the kind of its charts and their metrics. The UI hides those that no run has."""


def link_to_table(experiment: str, charts: bool = False) -> str:
    """Return where in the UI an experiment's arms are compared: in a table, or in charts."""
    mode = "&compareRunsMode=CHART" if charts else ""
    return (
        f"#/experiments/{quote(experiment, safe='')}/runs?viewStateShareKey={_KEY}{mode}&workflowType=machine_learning"
    )


def first_screen(parameters: Sequence[str]) -> str:
    """Return the tag's text: columns (what came out, then `parameters`, in which the runs differ) and charts."""
    columns = [
        *(f"metrics.`{name}`" for name in _METRICS),
        *(f"params.`{name}`" for name in parameters[:_MAX_PARAMETERS]),
    ]
    sections, charts = [], []
    for number, (name, (kind, metrics)) in enumerate(_SECTIONS.items()):
        section = f"section-{number}"
        sections.append({"uuid": section, "name": name, "display": True, "isReordered": True, "isGenerated": False})
        charts += [_chart(section, kind, metric) for metric in metrics]
    state: dict[str, Any] = {
        "selectedColumns": columns,
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "useGroupedValuesInCharts": True,
        "groupBy": None,
        "viewMaximized": False,
        "runListHidden": False,
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
    }
    # As the UI compresses it: a tag has room for 5,000 characters only.
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()


def _chart(section: str, kind: str, metric: str) -> dict[str, Any]:
    chart = {
        "uuid": f"{kind.lower()}-{metric}",
        "type": kind,
        "metricSectionId": section,
        "metricKey": metric,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 20,
    }
    if kind == "LINE":
        chart |= {
            "selectedMetricKeys": [metric],
            "lineSmoothness": 0,
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "scaleType": "linear",
            "yAxisKey": "metric",
            "selectedXAxisMetricKey": "",
            "range": {},
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
    return chart
