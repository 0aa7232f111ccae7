#!/usr/bin/env bash
# On the machine with a GPU: keep the pieces that came, and once all are there make an environment of them.
#   deploy/gpu_join.sh TARGET [PIECES]
#
# TARGET/venv is then an environment in which `fovea serve --device cuda` works, with this checkout installed into it
# and nothing fetched; TARGET/images holds photographs. It is made with ${PYTHON:-python3}, of 3.12, and takes CUDA's
# libraries from where that one's packages have them.
set -euo pipefail
target=$1
pieces=${2:-.gpu}
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $1"
    say "hint: $2"
    exit 1
}

keep_pieces() {
    mkdir -p "$target/pieces"
    for piece in "$pieces"/part-*; do
        [ -f "$piece" ] || continue
        (cd "$pieces" && grep " $(basename "$piece")\$" SHA256SUMS | sha256sum --check --quiet) ||
            die "$piece is not what it was when it was packed" "carry it again"
        cp "$piece" "$target/pieces/"
    done
    cp "$pieces/SHA256SUMS" "$target/pieces/"
}

missing_pieces() { # by name
    cut -d' ' -f3 "$target/pieces/SHA256SUMS" | while read -r name; do
        [ -f "$target/pieces/$name" ] || echo "$name"
    done
}

make_environment() {
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' ||
        die "$("$python" --version) is not Python 3.12, for which the wheels are" "name one: PYTHON=/path/to/python3.12"
    "$python" -m venv --clear --without-pip "$target/venv"
    (cd "$target/pieces" && sha256sum --check --quiet SHA256SUMS && cut -d' ' -f3 SHA256SUMS | xargs cat) | unpacked | tar -C "$target" -xf -
    say "installing $(find "$target/wheels" -name '*.whl' | wc -l) packages"
    into "$target"/wheels/*.whl
}

unpacked() {
    if command -v xz >/dev/null; then
        xz -dc -T0
    else # minutes instead of seconds
        "$python" -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer, 1 << 20)'
    fi
}

into() {
    "$python" -m pip --python "$target/venv/bin/python" install --quiet --disable-pip-version-check --no-index \
        --no-deps --no-compile --no-cache-dir "$@"
}

# ONNX Runtime looks for them beside itself, under nvidia/, where pip puts them and PyTorch's are.
link_cuda_libraries() {
    local theirs ours folder
    theirs=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia
    ours=$("$target/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia
    for folder in cu13/lib cudnn/lib; do
        [ -d "$theirs/$folder" ] || { say "warning: no $theirs/$folder; ONNX Runtime needs it to use the GPU" && continue; }
        mkdir -p "$ours/$folder"
        for library in "$theirs/$folder"/*.so*; do
            [ -e "$ours/$folder/$(basename "$library")" ] || ln -s "$library" "$ours/$folder/"
        done
    done
}

# Triton's Python backend links libpython; it looks for the driver by a name that only some installations have.
link_system_libraries() {
    local driver
    deploy/libpython.sh "$target/venv" "$target/lib" ||
        die "this Python has no shared library, and none could be made" "use another Python 3.12: PYTHON=..."
    driver=$("$python" - <<'PYTHON'
import contextlib, ctypes, pathlib

for name in ("libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/local/nvidia/lib/libcuda.so.1"):
    with contextlib.suppress(OSError):
        ctypes.CDLL(name)
        break
maps = pathlib.Path("/proc/self/maps").read_text().split()
print(next((path for path in maps if "/libcuda.so" in path), ""))
PYTHON
    )
    [ -n "$driver" ] || { say "warning: there is no libcuda.so.1 that can be loaded; Triton needs it to use the GPU" && return; }
    say "driver: $driver"
    ln -sf "$driver" "$target/venv/lib/libcuda.so"
}

install_fovea() {
    into --no-build-isolation --editable .
    "$target/venv/bin/python" -c 'import fovea_server.app, benchmarks.gpu, onnxruntime' ||
        die "what was installed cannot be imported" "add what is missing to deploy/gpu_requirements.txt, and pack again"
    "$target/venv/bin/fovea" models build --quiet
    "$target/venv/bin/python" - "$target/perf_analyzer" <<'PYTHON'
import pathlib, sys
from benchmarks import perf_analyzer

(wheel,) = pathlib.Path(sys.argv[1]).glob("*.whl")
home = pathlib.Path(".cache/perf_analyzer/2.54.0")
home.mkdir(parents=True, exist_ok=True)
perf_analyzer._extract(wheel, home / "perf_analyzer")
PYTHON
    touch "$target/venv/.gpu" # what `make gpu-check` looks for
}

keep_pieces
left=$(missing_pieces | tr '\n' ' ')
if [ -n "$left" ]; then
    say "kept; still to come: $left"
    exit 0
fi
make_environment
link_cuda_libraries
link_system_libraries
install_fovea
say "ready: make gpu-check VENV=$target/venv IMAGES=$target/images"
