"""What can go wrong between a clean machine and an image."""


class UnavailableError(Exception):
    """Raised when this machine lacks a tool that builds images, and it cannot be installed."""


class BuildError(Exception):
    """Raised when a tool ends with an error; `words`: its last ones."""

    def __init__(self, what: str, words: str) -> None:
        self.words = words
        super().__init__(f"{what}:\n{words}")
