"""Live mode on a Kubernetes cluster.

settings         what a deployed pipeline is · names: what its objects are called and marked with
manifests        its objects, as pure functions · gateway_manifests: those of its gateway
parts            what Deployments and pods have in common · pod_fields: what people add to them · pod_settings: how
model_sources    where real models come from · fetch: the process that brings one into a pod
shelf            models in an object store · store: the store · checksums: of their files
in_cluster       a controller in the cluster, and what it may do, rule by rule · permissions: whether it really may
api              the API server, through the official client
deploy           a pipeline's objects, until they stand · dry_run: what that would change · take_down: the way back
overview         how a pipeline stands · reach: where clients find it
belongings       which objects are a pipeline's · standing: what is wanted of it, and its pods
backend          the `Backend` whose replicas are pods: a run, put together from what follows
readiness        waiting until the pipeline is ready · troubles: what keeps a controller from its work
converging       the reconcile loop · looks: one look at the cluster after the other
reconciler       one look, and what follows: reader reads, writer writes · look: what it found and did
stage_state      how a stage stands · difference: what is left to do there · foreign_scalers: who else sets replicas
deployments      what Deployments and ReplicaSets say · obstacles: what keeps pods from coming
cluster_gateway  the gateway's control API, and its clock · gateway_keeper: keeps it configured as wanted
control_ways     how calls of that API get to the gateway: to its Service, or by the API server's proxy
lanes            which Deployment of a stage that mixes variants serves what
resizing         whether pods can get other cores as they run
watch            the pods, kept up to date · pods: what one says · timeline: pods as replicas of the run
room             the cores there is room for · failed_variants: rolled back and left out · pace: how often pods change
lease            one writer · lease_keeper: holding the Lease during a run · threads: calls that block
endpoints        the gateway's watch of its replicas, a process beside it
pack             the image's root file system without Docker
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
