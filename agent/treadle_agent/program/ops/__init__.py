"""The operators treadle executes, a module a family, each bound over a leading axis of problems."""
