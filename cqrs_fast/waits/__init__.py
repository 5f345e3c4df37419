"""What makes somebody wait: waiters, and the lines that they stand in."""
