"""A cloud on your own machine."""
