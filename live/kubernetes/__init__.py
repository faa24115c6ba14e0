"""Live mode on a Kubernetes cluster. In the order in which a decision passes:

    kubernetes_backend                   takes it, and wakes its loop, which makes passes until the cluster is as wanted
    pace, failed_variants, room          whether it may be: not too often, no variant that failed, within the room
    lease, memory                        one controller at a time; what its policy remembers, for the next one
    reconcile                            a pass: observe, compute the difference, guard each write, apply
    stage_state, deployments, pods       what is there: Deployments, what hinders them, pods as replicas
    within_budget, difference            what a Deployment may ask for now, and the actions that are left
    foreign_scalers, fixed_models        whose replicas these are; that all replicas have the run's models
    manifests, *_manifests, pod_templates  what is applied, and what users add to it
    api                                  the requests to the API server
    watch, timeline                      what becomes of it: the pods' events as the replicas' times
    cluster_gateway, replica_lister, gateway_lease    the gateway: reached, told its replicas, one of two
    events, overview                     what people see of it

`deploy` puts a pipeline on a cluster and removes it (`readiness`, `permissions`); `quota` is a fleet's budget; `store`,
`model_store`, `model_sources`, `fetch` and `pod_model` bring models to pods.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
