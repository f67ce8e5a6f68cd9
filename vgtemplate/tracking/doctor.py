"""What the doctor says of a training, noted in the MLflow run that the training has, if it has one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def note_in_active_run(is_healthy: bool, codes: Sequence[str], page: str) -> str:
    """Note a diagnosis in the run that this process has begun: tags, and the page as an artifact.

    Returns:
        Why it could not be noted; "" if it was, or there is no run.
    """
    if "mlflow" not in sys.modules:
        return ""
    try:
        import mlflow

        # The run may have ended with the script.
        run = mlflow.active_run() or mlflow.last_active_run()
    except Exception as error:
        return _in_words(error)
    return "" if run is None else note_in_run(mlflow.MlflowClient(), run.info.run_id, is_healthy, codes, page)


def note_in_run(client: Any, run_id: str, is_healthy: bool, codes: Sequence[str], page: str) -> str:
    """Note a diagnosis in a run of MLflow; what is returned is as of `note_in_active_run`."""
    try:
        client.set_tag(run_id, "doctor.healthy", str(is_healthy).lower())
        client.set_tag(run_id, "doctor.codes", ", ".join(codes))
        client.log_text(run_id, page, "doctor.html")
    except Exception as error:
        return _in_words(error)
    return ""


def _in_words(error: Exception) -> str:
    return f"not noted in MLflow ({type(error).__name__}: {' '.join(str(error).split())[:160]})"
