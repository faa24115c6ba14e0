"""Benchmarks: they measure and assert nothing. `make bench` prints them all and keeps them as JSON.

engines   this project's engines beside a naive model (naive), and whole runs
many_runs where the time of one run goes, and runs a minute where many are made in one call
solvers   one decision by the exact solver, Gurobi and HiGHS
tables    what a benchmark gives, and the machine
"""
