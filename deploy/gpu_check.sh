#!/usr/bin/env bash
# The tests and the benchmark that need an NVIDIA GPU, in under ten minutes: deploy/gpu_check.sh VENV [PHOTOGRAPHS]
#
# VENV is made with the package index where it is not there; on a machine without one, deploy/gpu_join.sh makes it.
set -uo pipefail
cd "$(dirname "$0")/.."
venv=$1
photographs=${2:-}

missing() {
    printf 'no GPU check here: %s\n' "$*" >&2
    exit 1
}

if ! ldconfig -p 2>/dev/null | grep libcuda.so.1 >/dev/null && ! [ -e /dev/nvidia0 ] && ! command -v nvidia-smi >/dev/null; then
    missing "this machine has no NVIDIA driver (no libcuda.so.1, no /dev/nvidia0, no nvidia-smi)"
fi
[ -f "$venv/.gpu" ] || { deploy/environment.sh "$venv" gpu,dev && touch "$venv/.gpu"; } ||
    missing "$venv could not be made; without a package index use deploy/gpu_wheels.sh and deploy/gpu_join.sh"
"$venv/bin/fovea" models build --quiet || exit 1

# Interrupted, both stop the servers that they have started.
began=$SECONDS
export FOVEA_IMAGES=$photographs
timeout --signal INT --kill-after 20 "${FOVEA_GPU_TESTS:-250}" "$venv/bin/python" -m pytest -m gpu tests/gpu --durations 10
tests=$?
[ "$tests" -ne 124 ] || echo "error: the tests did not end in time" >&2
# What is left of ten minutes, less the starting and stopping at both ends.
left=$((570 - SECONDS + began))
budget=${FOVEA_GPU_BENCHMARK:-$((left - 30))}
timeout --signal INT --kill-after 20 "$left" "$venv/bin/python" -m benchmarks.gpu --budget "$budget" \
    ${photographs:+--images "$photographs"}
benchmark=$?
[ "$tests" -eq 0 ] && [ "$benchmark" -eq 0 ]
