"""Studies: what people run. Here is the Python face of the project; `commands` is its command line.

One run
    scenario      everything a run depends on, as one validated value
    loads         the load it runs on
    run           a scenario prepared and simulated
    run_data      what every finished run offers
    size          what is too large to begin with
    decision      one decision explained; a journal replayed with another policy
    errors        what is wrong with the input, or went wrong
Many runs
    comparison    policies against each other on the same requests
    compared      the runs of a comparison, together
    workers       tasks on all cores
    intervals     means over seeds and their intervals
    study         systems x loads x seeds, from one file
    paper         the study files of the publication
Live runs
    live_runs     a scenario on real servers
    validation    live runs against simulations of the same
What comes of them
    results       runs on disk
    report        the report of a run or a comparison
    profile       a pipeline's profiles, shown
    drawing       the kit that all pages are drawn with
Besides
    commands      the command `ipa`
    doctor        what this machine has
    examples      to start from
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
