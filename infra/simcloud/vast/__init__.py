"""Vast.ai as its API shows it."""
