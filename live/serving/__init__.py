"""The serving plane: a gateway per pipeline before model servers, all speaking the Open Inference Protocol V2.

gateway          the command: a port for clients and one for control · gateway_options: how it runs
gateway_process  the process behind them · ports: open before anything slow
host             the gateway itself: real time, and clients that wait · admission: limits, and what may be inside
router           the stages in a chain · stage_lanes: the lanes of one, of which it has several where it mixes variants
stage_queue      the queue and the dispatch of a lane, without clock or network
deadlines        how old a request may be at a stage, given what is ahead of it
request          a request on its way, its batch and its replica · batch_service: batches served by replicas
replica_clients  the client side of model servers · probe: for whoever measures one
sharing          whose rows of a batch's outputs are whose
control_api      what the control plane sets and reads · observation: what it reads at a control step
access           who may use the ports: tokens, Host and Origin, the addresses of replicas
counts           arrivals by the second, and requests that have ended · clock: the run's
server           one replica · models: what it can run · onnx_session: ONNX files, loaded
emulated         the profiled service time in place of a model
protocol         the protocol's messages · tensors: their data · web: what both servers do with HTTP
connections      those of a port, bounded before a request is whole
bodies           bodies as they arrive, inflated and bounded · messages: read and written at once, or by message_worker
file_requests    a client's requests with files or tensors, and the text of their answers
metrics          the table of all metrics · gateway_metrics: the gateway's values · dashboard: Grafana's view of them
logs             JSON lines
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
