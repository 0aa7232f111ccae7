"""The page draws series that there are, from scripts and styles that its policy names, and asks nobody else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess

import httpx
import pytest
from tests.edge.faces import faces

from fovea_server.edge.live_page import PAGE
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings


def test_every_series_that_is_drawn_is_exported_with_the_labels_it_is_drawn_by() -> None:
    metrics = Metrics()
    metrics.watch_admission(Admission(AdmissionSettings()))
    series = {family.name: family for family in metrics.registry.collect()}
    drawn = set(re.findall(r"(?:fovea|process)_[a-z_]+", PAGE)) & set(re.findall(r'(?<=")[a-z_]+(?=")', PAGE))
    assert len(drawn) > 15
    for name in drawn:
        assert re.sub(r"_(total|bucket|count|sum)$", "", name) in series, name
    endings = {sample.labels["ended"] for sample in series["fovea_request_seconds"].samples}
    stages = {sample.labels["stage"] for sample in series["fovea_stage_seconds"].samples}
    for names in (endings, stages):
        assert any(set(re.findall(r'"(\w+)"', listed)) == names for listed in re.findall(r"names: \[(.*?)\]", PAGE))
    build = next(iter(series["fovea_build_info"].samples)).labels
    assert set(re.findall(r"\bbuild\.(\w+)", PAGE)) <= build.keys()


@pytest.mark.parametrize(("tag", "directive"), [("script", "script-src"), ("style", "style-src")])
async def test_the_policy_names_what_is_in_the_page_and_allows_nothing_else(tag: str, directive: str) -> None:
    async with faces() as opened, httpx.AsyncClient(base_url=opened.rest) as client:
        answer = await client.get("/live")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    ((_, inline),) = re.findall(rf"<{tag}([^>]*)>(.*?)</{tag}>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert policy[directive] == f"'sha256-{digest}'"
    assert (policy["default-src"], policy["connect-src"]) == ("'none'", "'self'")
    assert not re.search(r'\b(?:src|style|on\w+)="|innerHTML|https?:(?!//www\.w3\.org/2000/svg)', answer.text)


async def test_the_links_lead_to_pages_of_this_server() -> None:
    async with faces() as opened, httpx.AsyncClient(base_url=opened.rest) as client:
        links = re.findall(r'href="([^"]+)"|fetch\("([^"]+)"', PAGE)
        answers = [await client.get("/" + "".join(link)) for link in links]
    assert len(links) == 3
    assert [answer.status_code for answer in answers] == [200, 200, 200]


_NODE = shutil.which("node")
_BEFORE = """
const document = { hidden: true };
"""
_CHECKS = r"""
const seen = (at, text) => ({ at, series: parsed(text) });
const series = (ok, cpu, fast, all) => `# HELP x y
fovea_requests_total{outcome="OK"} ${ok}
fovea_process_cpu_seconds_total{number="0",process="a \\"b\\""} ${cpu}
fovea_request_seconds_bucket{ended="answered",le="0.01"} ${fast}
fovea_request_seconds_bucket{ended="answered",le="0.02"} ${all}
fovea_request_seconds_bucket{ended="answered",le="+Inf"} ${all}
fovea_request_seconds_count{ended="answered"} ${all}
`;
const said = {};
looks.push(seen(0, series(10, 100, 1, 2)));
looks.push(seen(10000, series(30, 105, 6, 12) + 'fovea_requests_total{outcome="BUSY"} 5\n' +
  'fovea_process_cpu_seconds_total{number="1",process="late"} 900\n'));
const drawn = figures();
said.answered = drawn.outcomes.OK;
said.refused = drawn.ended.refused;
said.cores = { ...drawn.cores };
said.latency = drawn.latency;
looks.push(seen(12000, series(3, 1, 6, 12)));
said.again = [...growth("fovea_requests_total", looks[1], looks[2], "outcome")];
looks.push(seen(99000, series(9, 2, 7, 14)));
said.after_a_pause = figures();
console.log(JSON.stringify(said));
process.exit(0);
"""


@pytest.mark.skipif(_NODE is None, reason="node is not installed")
def test_the_figures_are_those_that_prometheus_would_compute() -> None:
    script = re.search(r"<script>(.*?)</script>", PAGE, re.DOTALL)
    assert _NODE
    assert script
    ran = subprocess.run([_NODE, "-"], input=_BEFORE + script[1] + _CHECKS, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert (said["answered"], said["refused"]) == (2, 0.5)
    assert said["cores"] == {'a "b"': 0.5}  # and not the 900 s of what ran before it was known of
    assert said["latency"] == {"p50": pytest.approx(10), "p99": pytest.approx(19.8)}
    assert said["again"] == [["OK", 3]]  # it fell from 30: begun again
    assert said["after_a_pause"] is None
