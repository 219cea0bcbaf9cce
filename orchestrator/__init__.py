"""gpulease: rent a GPU for one job, under a hard dollar cap, and give it back."""

__version__ = "0.1.0"
