"""`python -m ipa` is the command `ipa`."""

from ipa.studies.commands import main

if __name__ == "__main__":
    main(prog_name="ipa")
