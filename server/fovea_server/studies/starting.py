"""What must be so before an experiment may run."""

from __future__ import annotations

from collections.abc import Collection

from fovea_server.errors import ExperimentRefused
from fovea_server.studies import metrics
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.observations import Observations
from fovea_server.studies.truth import Truth


def check_served(experiment: Experiment, served: Collection[str]) -> None:
    """Raise ExperimentRefused unless every model is loaded; `served` as NAME and NAME@VERSION."""
    wanted = [("model", experiment.model), *((f"arms.{arm.name}.model", arm.target) for arm in experiment.arms)]
    for field, target in wanted:
        if target not in served:
            loaded = ", ".join(sorted(served)) or "none"
            raise ExperimentRefused(f"{field}: {target} is not loaded; loaded are {loaded}")


def check_reported(experiment: Experiment, truth: Truth, observations: Observations) -> None:
    """Raise ExperimentRefused where nobody reports the primary metric."""
    metric = experiment.primary_metric
    if metric == metrics.ACCURACY and not truth.is_reported:
        raise ExperimentRefused(
            "primary_metric: accuracy is read from the feature log, and none is named here: give --feature-log, or set "
            "FOVEA_FEATURE_LOG, as for `fovea serve`"
        )
    event = metrics.event_of(metric)
    if event is not None and event not in observations.events():
        raise ExperimentRefused(
            f"primary_metric: nobody has reported the event {event} yet; report one first (POST /v1/events)"
        )
