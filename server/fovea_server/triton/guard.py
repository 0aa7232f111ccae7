"""End a process, and all of its group, when this process does, however it ends.

A signal alone (prctl(2), PR_SET_PDEATHSIG) is not enough for tritonserver 2.51: its handler of SIGTERM takes a lock
that its first thread may hold, at the moment it is ready for instance, and then waits for ever. So a shell runs beside
it that reads from a pipe which ends with us.
"""

from __future__ import annotations

from collections.abc import Sequence

_TURNS = 10  # to look, a second

# As the shell `$$` it is what it then becomes, with the same process id; all others of its group are ended with it.
_SCRIPT = """
seconds=$1
shift
exec 3<&0
(
    trap '' HUP INT TERM
    read -r _ <&3
    kill -TERM $$
    turns=$((seconds * TURNS))
    while kill -0 $$ && [ $turns -gt 0 ]; do sleep PAUSE; turns=$((turns - 1)); done
    kill -KILL 0
) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
""".replace("TURNS", str(_TURNS)).replace("PAUSE", str(1 / _TURNS))


def guarded(command: Sequence[str], seconds: int) -> list[str]:
    """A command that becomes this one, in a group of its own and with a pipe to this process as its input.

    Once the pipe has ended the process is sent SIGTERM, and SIGKILL with all of its group after these seconds; what it
    leaves of its group when it ends earlier is killed at once.
    """
    return ["/bin/sh", "-c", _SCRIPT, "guard", str(seconds), *command]
