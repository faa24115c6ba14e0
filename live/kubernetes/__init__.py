"""Live mode on a Kubernetes cluster.

settings    what a deployed pipeline is · names: what its objects are called and marked with
manifests   its objects, as pure functions · parts: what pods have in common
in_cluster  a controller in the cluster, and what it may do, rule by rule
api         the API server, through the official client · watch: its pods, kept up to date · pods: what one says
reconcile   what to do next, as a pure function of the state · reconciler: one look, and what follows
endpoints   the gateway's watch of its replicas, a process beside it
backend     the `Backend` whose replicas are pods, put together from the parts below
opening     waiting until the pipeline stands · looks: one look after another · timeline: pods as replicas of the run
room        the cores there is room for · failed_variants: rolled back and left out · guards: against haste
lease_keeper  holding the Lease during a run · threads: calls that block
gateway     its control API · reach: where clients find it
deploy      up, status, down · lease: one writer
pack        the image's root file system without Docker
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
