"""Lambda Cloud as its API shows it."""
