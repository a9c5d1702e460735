"""Ways to share one GPU, served by executors without HTTP: super-kernels, turns, streams, processes and MPS."""
