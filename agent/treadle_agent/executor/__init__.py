"""One executor process per device: queues, the step loop, super-kernels, and the supervisor that keeps it alive."""
