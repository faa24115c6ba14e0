"""The serving plane: a gateway per pipeline before model servers, all speaking the Open Inference Protocol V2.

gateway      one process: the router behind a port for clients and one for control · router: the stages in a chain
stage_queue  one stage's queue and dispatch, without clock or network · replicas: the client side of a model server
control      the control API · counts, records: what it tells
server       one replica · models: what it can run · emulated: the profiled service time in place of a model
protocol, tensors: the protocol's messages and data · web: what both servers do with HTTP
metrics      the table of all metrics · dashboard: Grafana's view of it · logs: JSON lines
"""
