#!/usr/bin/env bash
# Say where the shared library of an environment's Python is, and put one into the environment where the system has
# none that is found by itself: deploy/libpython.sh FOLDER [LAST_RESORT]
#
# Looks in sysconfig's LIBDIR, beside the interpreter, in the system's library folders and in ldconfig's list. Where
# there is only a static library it makes a shared one of it with gcc; else it takes that of the same 3.X in the folder
# LAST_RESORT. Exits with 1 where nothing helps.
set -euo pipefail
folder=$1

"$folder/bin/python" - "$folder" "${2:-/nonexistent}" <<'PYTHON'
import ctypes, pathlib, subprocess, sys, sysconfig

folder = pathlib.Path(sys.argv[1])
version = f"{sys.version_info.major}.{sys.version_info.minor}"
name = f"libpython{version}.so.1.0"
configured = [sysconfig.get_config_var(key) for key in ("LIBDIR", "LIBPL")]
places = [*filter(None, configured), f"{sys.base_prefix}/lib", f"{sys.prefix}/lib"]
multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
system = [f"/usr/lib/{multiarch}", f"/lib/{multiarch}", "/usr/lib64", "/usr/local/lib"]
system += [f"/usr/lib/python{version}/config-{version}-{multiarch}"]


def say(line):
    print(line, file=sys.stderr)


def found(file):
    return next((path for place in (*places, *system) if (path := pathlib.Path(place, file)).is_file()), None)


def keep(library):
    target = folder / "lib" / name
    if library.resolve() != target.resolve():
        target.unlink(missing_ok=True)
        target.symlink_to(library)


def listed():
    try:
        lines = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout.splitlines()
    except OSError:
        return None
    return next((pathlib.Path(line.split()[-1]) for line in lines if line.split()[:1] == [name]), None)


if library := found(name) or listed():
    say(f"{name}: {library}")
    keep(library)
    sys.exit(0)
say(f"{name} is in none of: {', '.join(dict.fromkeys((*places, *system)))}; nor does ldconfig list it")


def make(static):
    target = folder / "lib" / name
    flags = [flag for key in ("LIBS", "SYSLIBS") for flag in (sysconfig.get_config_var(key) or "").split()]
    command = ["gcc", "-shared", "-o", str(target), f"-Wl,-soname,{name}", "-Wl,--whole-archive", str(static)]
    command += ["-Wl,--no-whole-archive", *flags, "-lm", "-ldl", "-lpthread", "-lutil"]
    for extra in (["-lz", "-lexpat"], []):
        try:
            made = subprocess.run([*command, *extra], capture_output=True, text=True)
        except OSError as error:
            say(f"there is a {static}, but no gcc to make a shared library of it: {error}")
            return False
        if made.returncode == 0:
            ctypes.CDLL(str(target))
            say(f"{name}: made of {static}")
            return True
    say(f"{static} could not be made into {name}: {(made.stderr.strip().splitlines() or ['?'])[-1]}")
    target.unlink(missing_ok=True)
    return False


static = found(f"libpython{version}-pic.a") or found(f"libpython{version}.a")
if static is None:
    say(f"nor is there a libpython{version}.a to make it of")
elif make(static):
    sys.exit(0)
if (last := pathlib.Path(sys.argv[2], name)).is_file():
    say(f"{name}: the one that was carried along, {last}")
    keep(last)
    sys.exit(0)
sys.exit(1)
PYTHON
