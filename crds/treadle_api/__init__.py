"""The vocabulary that the operator, the agent and the command line share; pure."""
