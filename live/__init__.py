"""Live mode: the policies and the controller of the simulator on real servers.

serving/       the plane: a gateway with the queues, model servers
run            one live run from the first process to the last · control: its clock · deadline: a guard of policies
view           how a run stands, for a person
backend        what all backends have in common · launcher: who starts and ends processes
loopback       the backend of processes on this machine · replicas: rule 5 on them
plane          how the processes are called · gateway_client: the gateway's control API
kubernetes/    the backend of a cluster
monitoring/    what is observed, straight from the gateway or through Prometheus · collect: the simulator's records
load           the open-loop load generator · journal: decisions on the disk · controller_metrics: for Prometheus
"""
