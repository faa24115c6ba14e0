"""Studies: what people run. Here is the Python face of the project; `commands` is its command line.

One run
    scenario      everything a run depends on, as one validated value · choices: the words that its keys may hold
    ranges        the ranges of its numbers · start: what is ready when a run starts
    loads         the load it runs on · inputs: what its run is given
    prometheus    a load out of a Prometheus server
    load_page     a load as a page
    run           a scenario prepared and simulated
    run_data      what every finished run offers
    tables        the tables that it leaves behind
    size          what is too large to begin with
    decision      one decision explained; a journal replayed with another policy
    plans         all plans worth having for a load, and the plan against the load
    explained     why a journal's decisions were made
    errors        what is wrong with the input, or went wrong
Many runs
    many_runs     their summaries in one call · shared: what they have in common
    comparison    policies against each other on the same requests
    systems       which policies, with which keys
    compared      the runs of a comparison, together
    workers       tasks on all cores
    intervals     means over seeds and their intervals
    study         systems x loads x seeds, from one file
    sweeps        one scenario with other values of its keys
    many          what studies and sweeps stand on: runs made anywhere, kept as they come
    answers       what a table of runs says: winners, fronts, which key matters
    paper         the study files of the publication
    losses        what runs lost against the oracle, and to what
    tuning        parameters that serve a wish best
    environment   the control loop for whoever learns (Gymnasium)
Live runs
    live_runs     a scenario on real servers
    validation    live runs against simulations of the same
    ocr           pages whose text is known, and how well real models read them
What comes of them
    results       runs on disk
    report        the report of a run or a comparison
    profile       a pipeline's profiles, shown · profiling: measured on this machine, and compared
    predictor     forecasts of a load: scored, shown, and learned
    drawing       the kit that all pages are drawn with
Besides
    commands      the command `ipa`
    doctor        what this machine has
    schemas       the JSON Schema of every kind of file
    examples      to start from
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
