"""The command line, one file a group of commands."""

import os

# Read when grpc is imported. The only child we start is tritonserver, which makes no call of ours; gRPC's fork handlers
# would do nothing but warn that they are skipped.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
