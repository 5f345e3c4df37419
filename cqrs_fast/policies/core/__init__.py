"""The policies' state and decisions in plain C, for Cython and for test harnesses."""
