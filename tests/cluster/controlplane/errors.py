"""What can go wrong between a clean machine and a folder of binaries."""


class UnavailableError(Exception):
    """Raised when this machine cannot get what a build needs: no Go, or a registry out of reach."""


class BuildError(Exception):
    """Raised when everything was there and it still did not build: a fault of the tree, not of the machine."""
