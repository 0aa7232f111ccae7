"""A declaration is read as it is written; what cannot be is refused with one sentence that names the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.studies.made_up import TWO_ARMS, UNWEIGHTED, canary, shadow, split

from fovea_server.errors import BadExperiment
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.folder import read_toml

WHOLE = """
name = "int8-against-f32"
model = "efficientnet_lite0"
kind = "split"
unit = "key"
salt = "another deal"
start = 2026-01-31T12:00:00Z
end = 2026-02-28
primary_metric = "event:accepted"
higher_is_better = false
abstain_below = 0.4
minimum_sample = 500
shadow_share = 0.1

[[arms]]
name = "control"
model = "efficientnet_lite0"
version = "1"
weight = 0.9

[[arms]]
name = "int8"
model = "efficientnet_lite0"
version = "2"
weight = 0.1

[decision]
rule = "not_worse"
smallest_effect = 0.01
alpha = 0.01
power = 0.9

[guardrails]
error_rate = 0.01
p99_ratio = 2
disagreement = 0.05
worst_slice = 0.1
"""


def test_every_field_can_be_written_in_toml_and_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(WHOLE.replace("end = 2026-02-28\n", "end = 2026-02-28T00:00:00\n"))
    experiment = Experiment.read(read_toml(tmp_path / "a.toml"))
    assert experiment.candidate.target == "efficientnet_lite0@2"
    assert (experiment.unit, experiment.salt, experiment.minimum_sample) == ("key", "another deal", 500)
    assert experiment.end is not None
    assert experiment.end.isoformat() == "2026-02-28T00:00:00+00:00"
    assert experiment.guardrails.p99_ratio == 2.0
    assert not experiment.prefers_more
    assert Experiment.read(experiment.to_mapping()) == experiment


@pytest.mark.parametrize("experiment", [split(), canary(), shadow()], ids=["split", "canary", "shadow"])
def test_what_is_not_said_has_a_default_and_the_whole_survives_being_kept(experiment: Experiment) -> None:
    assert Experiment.read(experiment.to_mapping()) == experiment
    assert experiment.salt == "trial"


def _weights(*weights: Any) -> list[dict[str, Any]]:
    return [{"name": f"arm{place}", "model": "alpha", "weight": weight} for place, weight in enumerate(weights)]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"arms": _weights(0.5, 0.4)}, r"^arms\.weight: they sum to 0\.9; they must sum to 1$"),
        ({"arms": _weights(1.0, 0.0)}, r"^arms\.weight: 1, 0; each must lie between 0 and 1$"),
        ({"arms": _weights(0.0, 0.0)}, r"^arms\.weight: no arm has one; give each its share of the requests "),
        ({"arms": _weights(0.5, "half")}, r"^arms\[1\]\.weight: it must be a number, not 'half'$"),
        ({"arms": _weights(0.5, True)}, r"^arms\[1\]\.weight: it must be a number"),
        ({"arms": _weights(1.0)}, r"^arms: there must be two or more, the control first$"),
        ({"arms": "both"}, r"^arms: there must be two or more"),
        ({"arms": [{"name": "a"}, {"name": "b", "model": "beta"}]}, r"^arms\[0\]\.model: it is missing$"),
        ({"arms": [*TWO_ARMS[:1], {**TWO_ARMS[1], "name": "control"}]}, r"^arms\.name: there are two .* control$"),
        ({"kind": "canary"}, r"^arms\.weight: a canary has none"),
        ({"kind": "canary", "arms": [UNWEIGHTED[0]] * 2}, r"^arms\.name"),
        ({"kind": "lottery"}, r"^kind: 'lottery' is none of split, canary, shadow$"),
        ({"name": "Trial!"}, r"^name: 'Trial!' is not 1 to 63 of a-z 0-9 _ -$"),
        ({"name": 7}, r"^name: it must be text, not 7$"),
        ({"unit": "user"}, r"^unit: 'user' is none of unit, key, request$"),
        ({"salt": "s" * 65}, r"^salt: it has 65 bytes; at most 64$"),
        ({"primary_metric": "joy"}, r"^primary_metric: nobody reports 'joy'; there are accuracy, agreement, "),
        ({"primary_metric": "event:"}, r"^primary_metric: nobody reports 'event:'"),
        (
            {"primary_metric": "agreement"},
            r"^primary_metric: nobody reports agreement without copies; set shadow_share$",
        ),
        ({"guardrails": {"disagreement": 0.1}}, r"^guardrails\.disagreement: nobody reports it without copies"),
        ({"guardrails": {"worst_slice": 1.5}}, r"^guardrails\.worst_slice: 1\.5 is not from 0 to 1$"),
        ({"guardrails": {"p99": 2}}, r"^guardrails\.p99: there is no such field; there are error_rate, p99_ratio"),
        ({"guardrails": []}, r"^guardrails: it must be a table"),
        ({"decision": {"alpha": 0}}, r"^decision\.alpha: 0 is not from 1e-06 to 0\.5$"),
        ({"decision": {"rule": "best"}}, r"^decision\.rule: 'best' is none of better, not_worse$"),
        (
            {"canary": {"steps": [0.5, 0.1, 1]}},
            r"^canary\.steps: 0\.5, 0\.1, 1; they must rise, from more than 0 to 1$",
        ),
        ({"canary": {"steps": 1}}, r"^canary\.steps: it must be a list of numbers, not 1$"),
        (
            {"start": "soon"},
            r"^start: it must be a moment in the form of 2026-01-31T12:00:00\+00:00 or .*, not 'soon'$",
        ),
        ({"start": "2026-02-01", "end": "2026-01-01"}, r"^end: 2026-01-01T00:00:00\+00:00 is not after the start"),
        ({"minimum_sample": 1.5}, r"^minimum_sample: it must be a whole number, not 1\.5$"),
        ({"owner": "me"}, r"^owner: there is no such field; there are name, model, arms"),
    ],
)
def test_what_cannot_be_is_refused_with_one_sentence_that_names_the_field(
    fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadExperiment, match=sentence):
        split(**fields)


@pytest.mark.parametrize("field", ["name", "model"])
def test_what_is_missing_is_named(field: str) -> None:
    whole = {"name": "trial", "model": "alpha", "arms": TWO_ARMS}
    with pytest.raises(BadExperiment, match=rf"^{field}: it is missing"):
        Experiment.read({name: value for name, value in whole.items() if name != field})


def test_a_canary_of_a_model_against_itself_is_refused() -> None:
    with pytest.raises(BadExperiment, match=r"^arms\.model: both arms of a canary are alpha$"):
        canary(arms=[UNWEIGHTED[0], {"name": "candidate", "model": "alpha"}])


def test_a_shadow_is_not_judged_by_what_only_callers_of_both_arms_could_tell() -> None:
    with pytest.raises(BadExperiment, match=r"^primary_metric: nobody but the control answers in a shadow"):
        shadow(primary_metric="latency")


def test_what_is_no_toml_is_refused_with_the_file_and_the_place(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("name = \nmodel")
    with pytest.raises(BadExperiment, match=r"^a\.toml: it cannot be read: .*line 1"):
        read_toml(tmp_path / "a.toml")
