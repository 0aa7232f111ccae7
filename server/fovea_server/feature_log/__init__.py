"""What is remembered of each answer, and what turned out to be true: records, feedback, and both joined.

On the request's path: `note` (what is known of a request), `queue`, `writer` (a thread) and `segments`. In a process
of its own: `keeper`, `compaction`, `retention`. For whoever asks: `reading`, `erasure`. docs/feature-log.md tells it.
"""
