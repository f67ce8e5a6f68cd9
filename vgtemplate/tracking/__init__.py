"""MLflow, the view of the records: sent once, in the background of an experiment; never read to reach a verdict.

Importing this room does not import mlflow; sending does.
"""

from vgtemplate.tracking.outbox import (
    Description,
    Report,
    Run,
    Store,
    experiment_address,
    find_report,
    find_store,
    missed,
    pending,
    remember,
)
from vgtemplate.tracking.tracker import Draw, Tracker, quiet_environment

__all__ = [
    "Description",
    "Draw",
    "Report",
    "Run",
    "Store",
    "Tracker",
    "experiment_address",
    "find_report",
    "find_store",
    "missed",
    "pending",
    "quiet_environment",
    "remember",
]
