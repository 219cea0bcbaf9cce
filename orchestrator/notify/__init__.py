"""Telling others what happened to a run."""
