"""Live mode: the policies and the controller of the simulator on real servers.

run              the two uses of the live loop: with a load of its own, and without
loop             opens a backend, takes the control steps, closes it · setup: how a live run is set up
steps            when a control step is due · stopping: signals and failures that end a run early
live_controller  the controller of a live run · deadline: the time limit of its policy · journal: its decisions on disk
backend          what all backends have in common · loopback: the backend of processes on this machine
observer         what policies observe, from what is read
stage_replicas   the replicas of a stage, and rule 5 for real ones
plane            the settings of the serving plane, and how its processes are called
launcher         starts a run's processes · parent: the process that forks them
gateway_client   the gateway's control API, from outside · control_way: how calls get there · tokens: what it asks for
sending          a run's load: its process, and what it leaves behind
load_generator   the open loop that the process runs · sent: what it has sent · samples: files to send
collect          the gateway's records as the simulator's · kept: on disk as they come
view             how a run stands, every second
controller_metrics  the controller's own metrics, for Prometheus
log_lines        the log of its commands · errors: what live mode raises
serving/         the plane: a gateway with the queues, model servers
ocr/             the models of the pipeline `ocr`
kubernetes/      the backend of a cluster
profiling/       the offline profiler: what a model server takes
monitoring/      what is observed: asked of the gateway, or read from Prometheus
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
