"""A server is ready once all of it is, whichever part of it comes last."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.served import served
from tests.ports import free_ports

from fovea_pipelines.package import ModelPackage

# It sleeps as the module runs: as it is looked for, nothing else could be imported either.
_SLOW = """
import sys, time
from importlib.machinery import PathFinder

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name != "fovea_server.gateway":
            return None
        spec = PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module

        def slowly(module):
            time.sleep(8)
            print("the gateway is imported", file=sys.stderr, flush=True)
            run(module)

        spec.loader.exec_module = slowly
        return spec

sys.meta_path.insert(0, Slow())
"""


def test_triton_that_is_quicker_than_the_gateway_is_not_ready_before_it(package: ModelPackage, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_SLOW)
    state = tmp_path / "state"
    with served(free_ports(5), state=state, before=("env", f"PYTHONPATH={tmp_path}")) as server:
        log = server.log
        assert 0 < log.index("the gateway is imported") < log.index("triton is ready")
        assert len(list(state.glob("control-*.sock"))) == 1
