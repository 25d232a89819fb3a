"""Limits of the engine that the simulator keeps to."""

# A day less than the engine keeps history, so that nothing expires while it is sent.
OLDEST_DAYS = 89
