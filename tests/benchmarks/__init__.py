"""Benchmarks: they measure and assert nothing. `make bench` prints them all."""
