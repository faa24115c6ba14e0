"""The serving plane: a gateway per pipeline before model servers, all speaking the Open Inference Protocol V2.

A request passes:

    connections, web, access             its connection, bounded; the protocol's routes; whether it may ask
    admission, bodies                    whether there is room, its body piece by piece
    protocol, tensors                    JSON or binary to tensors, and at the end back
    host, request                        the gateway: its timers, and the client that waits
    router, graph_flow, stage_queue, deadlines      stage after stage: its place in a queue, its batch, its outcome
    graph_tensors, rows                  what goes along an edge, and its share of a batch's outputs
    batch_service, replica_clients, kept_connections    its batch to a replica, and the answer or a retry
    term                                 of two gateways, whether it is the one that serves
    server, models, emulated, checksums  the replica: one batch at a time, of a model that is the run's
    counts, gateway_metrics, metrics     what is recorded and counted of it

`gateway` and `gateway_process` start and end the gateway; `control_api` is how a controller sets and observes it.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
