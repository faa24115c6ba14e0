"""Live mode: the same policies and controller on real servers. Its backends are still to come."""
