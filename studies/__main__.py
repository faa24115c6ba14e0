"""`python -m ipa.studies` is the command `ipa`, as `python -m ipa` is."""

import runpy

runpy.run_module("ipa", run_name="__main__")
