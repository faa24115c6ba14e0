"""Programs that measure and print, each started by a target of the Makefile; tests borrow their cases.

benchmarks    how fast everything is: `make bench`
verification  the engines against queueing theory at larger sizes: `make verify`
"""
