"""Pictures of the terminal for the README, from real runs on a simulated cloud."""
