"""Benchmarks: one file for each question, every case beside its baseline."""
