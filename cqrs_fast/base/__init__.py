"""Shared by all other rooms: clocks, forks, checks, reports, helpers in C."""
