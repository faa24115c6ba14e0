"""Chaos by seed: faults for minutes on end under load, and invariants that hold throughout (`make chaos`).

schedule         which fault when: a pure function of seed, duration and surroundings; as JSON lines
history          what happened: requests, books of gateways, outages, resources
invariants       what must be true of every history, each a function of it
load             a client that knows which answer is its own
books            a gateway's books, read all the while
hostile          clients that mean harm
relay            a network that can be slow or cut
clock            processes whose time of day can be set
pipeline         the pipeline, and the policy that decides what the schedule says
loopback         the run on this machine, started again whenever a fault has ended it
controlled       `ipa live run` with the relays in its network
loopback_faults  what each fault does to it
cluster          the pipeline on a cluster, with two controllers
cluster_faults   what each fault does to it
run              one chaos: schedule, faults, load, judgement; `python -m tests.live.chaos`
"""
