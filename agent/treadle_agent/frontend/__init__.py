"""The HTTP front end: Open Inference Protocol v2, metrics and health."""
