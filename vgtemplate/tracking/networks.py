"""Trained networks in an MLflow store: logged in a form that others can load without this package, and registered."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgtemplate.config.errors import UserError
from vgtemplate.records import Array, Record
from vgtemplate.tracking.outbox import Registration
from vgtemplate.tracking.words import cut

_TAG = "vgt.network"
_TAG_LENGTH = 5000


@dataclass(frozen=True)
class Network:
    """A trained network as others are to use it."""

    module: Any
    """A torch.nn.Module of batches (B, ...)."""
    inputs: Array
    """Two inputs to try it on."""
    outputs: Array
    """What it makes of them."""
    metadata: Mapping[str, Any]
    """What is to be known of it."""
    requirements: list[str]
    """The packages that it needs beside mlflow, as pip names them."""


FindNetwork = Callable[[Record, Path], Network | None]
"""Record and its folder to the best network; None where there is none, UserError where it cannot be had."""


def log_network(client: Any, identifier: str, find: FindNetwork | None, record: Record, folder: Path) -> dict[str, str]:
    """Log the best network of a run, if there is one and the store lacks it.

    Returns:
        tags that say which network it is, or why there is none.
    """
    if find is None or _model_of(client, identifier) is not None:
        return {}
    try:
        if (network := find(record, folder)) is None:
            return {}
        _log(client, identifier, record.name, network)
    except Exception as error:  # torch.export does not say which errors a network leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        return {_TAG: cut(f"not kept: {reason}", _TAG_LENGTH)}
    return {_TAG: cut(", ".join(f"{name}: {text}" for name, text in network.metadata.items()), _TAG_LENGTH)}


def _log(client: Any, identifier: str, name: str, network: Network) -> None:
    import mlflow
    import mlflow.pytorch
    from mlflow.models import Model, infer_signature

    experiment = client.get_run(identifier).info.experiment_id
    model = client.create_logged_model(experiment, name, identifier)
    try:
        with _default_store(client.tracking_uri):
            Model.log(
                None,
                mlflow.pytorch,
                run_id=identifier,
                model_id=model.model_id,
                pytorch_model=network.module,
                signature=infer_signature(network.inputs, network.outputs),
                input_example=network.inputs,
                metadata=dict(network.metadata),
                pip_requirements=[*network.requirements, f"mlflow=={mlflow.__version__}"],
                # To load it again and try it takes longer than all the rest.
                validate_serving_input=False,
            )
    except BaseException:
        client.delete_logged_model(model.model_id)
        raise


@contextlib.contextmanager
def _default_store(uri: str) -> Iterator[None]:
    """Make a store the one that mlflow takes where none is named; it keeps that in the environment, for all to see."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        if before is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)


def _model_of(client: Any, identifier: str) -> Any:
    """Return the logged model of a run; None if it has none."""
    experiment = client.get_run(identifier).info.experiment_id
    models = client.search_logged_models([experiment], f"source_run_id = '{identifier}'")
    return next((model for model in models if model.status == "READY"), None)


def register(client: Any, registration: Registration, identifier: str) -> str:
    """Register a run's network as a new version of a model, unless it is one already; return the version.

    Raises:
        UserError: the run has no network.
    """
    from mlflow.exceptions import MlflowException

    model = _model_of(client, identifier)
    if model is None:
        why = client.get_run(identifier).data.tags.get(_TAG, "--fresh trains it again and keeps it")
        raise UserError(f"{registration.arm}: there is no network to register ({why})")
    try:
        client.create_registered_model(registration.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {"vgt.experiment": registration.experiment, "vgt.arm": registration.arm, "vgt.key": registration.key}
    with _default_store(client.tracking_uri):
        if not _versions(client, registration.name, identifier):
            client.create_model_version(registration.name, model.model_uri, identifier, tags, model_id=model.model_id)
    first, *doubles = _versions(client, registration.name, identifier)
    for double in doubles:  # an answer was lost, and mlflow's client has asked again
        client.delete_model_version(registration.name, double)
    return first


def _versions(client: Any, name: str, identifier: str) -> list[str]:
    """Return the versions of a registered model that are the network of a run, the first one first."""
    found = client.search_model_versions(f"run_id = '{identifier}'")
    return sorted((str(each.version) for each in found if each.name == name), key=int)
