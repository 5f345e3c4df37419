"""A workload for profilers, and what shows where its time and memory go."""
