#!/usr/bin/env bash
# Make a virtual environment and install Fovea into it: deploy/environment.sh FOLDER EXTRAS [PACKAGE...]
#
# UPON=OTHER: with all that another environment of the same Python has; only what that lacks is installed.
#
# Works on a Debian or Ubuntu that has python3 and nothing else: without python3-venv it fetches pip by itself, and
# without libpython3.X.so (which Triton's Python backend links) it unpacks Debian's package of it into the environment.
set -euo pipefail

folder=$1
extras=$2
shift 2
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $1"
    say "hint: $2"
    exit 1
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.12 python3.11 python3.10 /usr/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "no Python 3.10, 3.11 or 3.12 was found" "apt-get install python3, or name one: make serve PYTHON=/path/to/python3.12"
}

make_environment() {
    say "making $folder with $("$1" --version)"
    "$1" -m venv "$folder" >/dev/null 2>&1 && return
    # Debian keeps ensurepip in a package of its own (python3-venv).
    "$1" -m venv --clear --without-pip "$folder"
    fetch_pip "$folder/bin/python"
}

# Its .pth files count too: Fovea itself is one of them.
see_all_of() {
    "$folder/bin/python" - "$(realpath "$1")" <<'PYTHON'
import pathlib, sys, sysconfig

below = sysconfig.get_path("purelib", vars={"base": sys.argv[1], "platbase": sys.argv[1]})
pathlib.Path(sysconfig.get_path("purelib"), "upon.pth").write_text(f"import site; site.addsitedir({below!r})\n")
PYTHON
}

# pip's wheel is on the package index and runs from within itself.
fetch_pip() {
    say "python3-venv is not installed: fetching pip from the package index"
    "$1" - "${PIP_INDEX_URL:-https://pypi.org/simple}" "$folder" <<'PYTHON'
import pathlib, re, subprocess, sys, urllib.parse, urllib.request

index, folder = sys.argv[1].rstrip("/") + "/pip/", sys.argv[2]
page = urllib.request.urlopen(index, timeout=60).read().decode()
wheels = re.findall(r'href="([^"#]*/?(pip-(\d+(?:\.\d+)+)-py3-none-any\.whl))', page)
link, name, _ = max(wheels, key=lambda wheel: tuple(map(int, wheel[2].split("."))))
target = pathlib.Path(folder, name)
target.write_bytes(urllib.request.urlopen(urllib.parse.urljoin(index, link), timeout=60).read())
subprocess.run([sys.executable, f"{target}/pip", "install", "--quiet", "--no-index", str(target)], check=True)
target.unlink()
PYTHON
}

has_libpython() {
    "$folder/bin/python" - <<'PYTHON'
import ctypes, pathlib, sys, sysconfig

name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
folders = (sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib", f"{sys.prefix}/lib")
if any(folder and pathlib.Path(folder, name).is_file() for folder in folders):
    sys.exit(0)
try:
    ctypes.CDLL(name)
except OSError:
    sys.exit(1)
PYTHON
}

# `apt-get download` needs no root; where the package lists are not there either, `fovea serve` says what to do.
fetch_libpython() {
    local package scratch
    package=$("$folder/bin/python" -c 'import sys; print(f"libpython{sys.version_info.major}.{sys.version_info.minor}")')
    say "this Python has no shared library: fetching Debian's package $package into $folder"
    scratch=$(mktemp -d)
    if (cd "$scratch" && { apt-get download -qq "$package" || { apt-get update -qq && apt-get download -qq "$package"; }; }) &&
        dpkg-deb -x "$scratch"/*.deb "$scratch/unpacked"; then
        cp -a "$scratch"/unpacked/usr/lib/*/libpython3.* "$folder/lib/"
    else
        say "warning: could not fetch $package; serving needs it: apt-get install $package"
    fi
    rm -rf "$scratch"
}

if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || exit 1
    make_environment "$python"
fi
[ -z "${UPON:-}" ] || see_all_of "$UPON"
has_libpython || fetch_libpython
say "installing fovea-server[$extras] into $folder (one to three minutes the first time)"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extras]" "$@" ||
    die "pip could not install fovea-server[$extras]" "is the package index reachable? (PIP_INDEX_URL names another)"
