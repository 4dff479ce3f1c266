"""The sections of the report: each function makes one from a run."""
