"""What every other room stands on: clocks, forks, checks, reports, C-level helpers."""
