"""`fovea tune`: measure settings of the whole served path on this machine, and keep those that win."""
