"""Paperspace as its API shows it."""
