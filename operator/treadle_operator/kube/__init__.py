"""The API server: requests to it, and objects as it takes and gives them."""
