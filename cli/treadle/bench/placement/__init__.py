"""The operator at scale: a real API server, and agents that are played."""
