"""The serving benchmark: the same models and the same open-loop load for every server."""
