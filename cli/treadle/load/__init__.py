"""An open-loop HTTP load generator for the Open Inference Protocol, in a process of its own, towards loopback only."""
