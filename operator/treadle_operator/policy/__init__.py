"""Pure decisions: no clock, no I/O, no randomness, no framework. Time is an argument, in seconds since the epoch."""
