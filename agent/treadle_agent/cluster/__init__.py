"""The node's side of the cluster: what it is told to serve, and what it tells of itself."""
