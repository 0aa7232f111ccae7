#!/usr/bin/env bash
# Prepare what a machine with a GPU and no package index needs: deploy/gpu_wheels.sh [PIECES] [PHOTOGRAPHS]
#
# Writes PIECES (default .gpu/, which git ignores): part-00, part-01 ... of at most 58 MB each, and SHA256SUMS. Carry them
# over in as many goes as it takes, then run deploy/gpu_join.sh there. PHOTOGRAPHS is a folder of images for the tests and
# the benchmark; 100 of them go along. Wheels are kept in .cache/gpu-wheels/.
set -euo pipefail
cd "$(dirname "$0")/.."

pieces=${1:-.gpu}
photographs=${2:-../shared/images}
wheels=.cache/gpu-wheels
python=${PYTHON:-python3}
# The newest release of the client that carries perf_analyzer, which is all that is taken from it.
perf_analyzer=tritonclient==2.54.0

platforms=(--platform manylinux1_x86_64 --platform manylinux2014_x86_64 --platform linux_x86_64)
for glibc in 5 12 17 24 26 27 28 31 34 35 36 38 39; do # pip matches each number exactly
    platforms+=(--platform "manylinux_2_${glibc}_x86_64")
done

fetch() {
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
        --implementation cp --abi cp312 --abi abi3 --abi none "${platforms[@]}" --dest "$1" "${@:2}"
}

choose_photographs() {
    [ -d "$photographs" ] || return 0
    mkdir -p "$1"
    find "$photographs" -maxdepth 1 -name '*.jpg' -printf '%p\n' | sort | awk 'NR % 3 == 1' | head -100 |
        xargs -r -d '\n' cp -t "$1"
    if [ -f "$photographs/labels.csv" ]; then cp "$photographs/labels.csv" "$1"; fi
}

# The shared library of a Python 3.12 of this machine, if it has one, for a machine whose Python lacks it.
choose_libpython() {
    local library
    library=$(python3.12 -c 'import sysconfig as s; print(s.get_config_var("LIBDIR") + "/libpython3.12.so.1.0")' 2>/dev/null) || :
    if ! [ -f "$library" ]; then
        echo "no libpython3.12.so.1.0 goes along: no python3.12 of this machine has one" >&2
        return 0
    fi
    mkdir -p "$1"
    strip -o "$1/libpython3.12.so.1.0" "$library" || cp "$library" "$1"
}

# The wheels of the list, not those of an earlier one, stored: xz makes a quarter less of them than wheels' own zip does.
unpack_wheels() {
    mkdir -p "$1"
    "$python" - deploy/gpu_requirements.txt "$wheels" "$1" <<'PYTHON'
import pathlib, re, sys, zipfile


def same(name):
    return re.sub(r"[-_.]+", "-", name).lower()


requirements, wheels, target = map(pathlib.Path, sys.argv[1:])
wanted = [line.split("==") for line in requirements.read_text().splitlines() if "==" in line]
there = {(same(wheel.name.split("-")[0]), wheel.name.split("-")[1]): wheel for wheel in wheels.glob("*.whl")}
for name, version in wanted:
    wheel = there[same(name), version]
    with zipfile.ZipFile(wheel) as packed, zipfile.ZipFile(target / wheel.name, "w") as stored:
        for member in packed.infolist():
            content = packed.read(member)
            member.compress_type = zipfile.ZIP_STORED
            stored.writestr(member, content)
PYTHON
}

mkdir -p "$wheels" "$pieces"
rm -f "$pieces"/part-* "$pieces/SHA256SUMS"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fetch "$wheels" --requirement deploy/gpu_requirements.txt
fetch "$scratch/perf_analyzer" "$perf_analyzer"
choose_photographs "$scratch/images"
choose_libpython "$scratch/lib"
unpack_wheels "$scratch/wheels"
tar -C "$scratch" -cf - . | xz -T0 -3 | split --bytes 58000000 --numeric-suffixes --suffix-length 2 - "$pieces/part-"
(cd "$pieces" && sha256sum part-* >SHA256SUMS)
count=$(find "$pieces" -name 'part-*' | wc -l)
echo "$count pieces, $(du -cm "$pieces"/part-* | tail -1 | cut -f1) MB, in $pieces/" >&2
