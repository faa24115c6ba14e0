"""How `foresight` does against the other policies and the oracle, cell by cell: `python -m tests.studies.foresight`."""
