"""The engines against queueing theory: exact recursions request by request, closed forms in the mean.

theory      the closed forms, each with its source or its derivation · recursions: the exact ones, event by event
queues      stages in a row given to either engine, with any law of service times
cases       queues whose closed form is known · exact: queues whose every start a recursion knows
__main__    all of it at larger sizes, as tables: `python -m tests.programs.verification`; docs/verification.md has them
"""
