"""The real owner, rounds and scorer under random faults, in virtual time."""
