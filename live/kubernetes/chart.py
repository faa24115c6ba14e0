"""A Helm chart of a pipeline and its controller: the objects of `manifests`, with Helm's values where users choose.

The objects are made with a placeholder for each value; in their YAML, each placeholder becomes a template expression.
The Deployments of the gateway and the stages are left out: the controller makes them, from the values in the pipeline's
ConfigMap. So is the Secret, which is made once: rendering the chart again would make another token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.controller_manifests import (
    SCENARIO,
    content_of,
    controller,
    digest_of,
    dumped,
    monitors,
    other_files,
    scenario_text,
    yaml_of,
)
from ipa.live.kubernetes.manifest_parts import BUDGET_APIS, Manifest
from ipa.live.kubernetes.manifests import root, surroundings
from ipa.live.kubernetes.settings import Deployed

OF_LAYOUT = {
    "image": "image",
    "pull_policy": "imagePullPolicy",
    "service_type": "service.type",
    "gateway_cpu": "gateway.cpu",
    "gateway_memory": "gateway.memory",
    "replica_cpu": "replica.cpu",
    "replica_memory": "replica.memory",
}
"""Field of the layout -> the chart's value."""
NAMESPACE = "@ipa.chart.namespace@"
CONTENT = '{{ include "ipa.content" . }}'
BUDGET_API = '{{ if .Capabilities.APIVersions.Has "policy/v1" }}policy/v1{{ else }}policy/v1beta1{{ end }}'
JOURNAL = r'{{ printf "%s\n%s\nFalse" (include "ipa.content" .) .Values.image | sha256sum | trunc 16 }}'


def chart(
    deployed: Deployed, files: Mapping[str, str], apis: frozenset[str], monitor: bool = False, state_claim: str = ""
) -> dict[str, str]:
    """The files of a chart, by path. `files` are those of the controller's scenario; with `monitor` its monitors are
    on by default. It is for one set of stages: their names are in the Role and the PodDisruptionBudgets."""
    import yaml

    scenario = yaml.safe_load(files[SCENARIO])
    marks: dict[str, Any] = {field: _mark(path) for field, path in OF_LAYOUT.items()}
    marked = replace(
        deployed,
        namespace=NAMESPACE,
        name=deployed.instance,
        pipeline_file=_mark("pipeline"),
        layout=replace(deployed.layout, **marks),
    )
    marked_files = {**files, SCENARIO: _mark("scenario")}
    of_controller = controller(marked, marked_files, state_claim=state_claim)
    container = of_controller[-1]["spec"]["template"]["spec"]["containers"][0]
    values = _values(deployed, scenario["policy"], container["resources"], monitor)
    container["resources"] = _mark("controller.resources")
    content = content_of(marked, marked_files)
    digests = {content: CONTENT, digest_of(content, marked.layout.image, "False"): JOURNAL}
    made = {
        _path(each): _template(each, digests)
        for each in (root(marked), *surroundings(marked, None, apis), *of_controller)
    }
    watched = {
        _path(each): f"{{{{- if .Values.monitor }}}}\n{_template(each, digests)}{{{{- end }}}}\n"
        for each in monitors(marked)
    }
    return {
        "Chart.yaml": dumped(_about(deployed)),
        "values.yaml": dumped(values),
        "templates/_helpers.tpl": _helpers(deployed, scenario, files),
        "templates/NOTES.txt": _notes(deployed),
        **made,
        **watched,
    }


def _about(deployed: Deployed) -> Manifest:
    return {
        "apiVersion": "v2",
        "name": deployed.instance,
        "description": f"The inference pipeline {deployed.pipeline} and the controller that adapts it",
        "type": "application",
        "version": version("ipa-pipelines"),
        "appVersion": version("ipa-pipelines"),
    }


def _values(deployed: Deployed, policy: Any, resources: Manifest, monitor: bool) -> Manifest:
    values: Manifest = {}
    for field, path in OF_LAYOUT.items():
        section, _, key = path.rpartition(".")
        (values.setdefault(section, {}) if section else values)[key] = getattr(deployed.layout, field)
    controller = {"resources": resources}
    return {
        **values,
        "controller": controller,
        "monitor": monitor,
        "policy": policy,
        "pipeline": deployed.pipeline_file,
    }


def _mark(path: str) -> str:
    return f"@ipa.chart.{path}@"


def _path(manifest: Manifest) -> str:
    return f"templates/{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml"


def _template(manifest: Manifest, digests: Mapping[str, str]) -> str:
    """An object as a template. A value that is data replaces a quoted text of YAML; one that is text goes into it."""
    text = _escaped(yaml_of(manifest)).replace(f"apiVersion: {BUDGET_APIS[0]}\n", f"apiVersion: {BUDGET_API}\n")
    for digest, expression in digests.items():
        text = text.replace(f"{names.CONTENT}: {digest}", f"{names.CONTENT}: '{digest}'").replace(digest, expression)
    for path in ("pipeline", "controller.resources"):
        text = text.replace(f"'{_mark(path)}'", f"{{{{ toJson .Values.{path} }}}}")
    text = text.replace(f"'{_mark('scenario')}'", '{{ toJson (include "ipa.scenario" .) }}')
    for path in OF_LAYOUT.values():
        text = text.replace(_mark(path), f"{{{{ .Values.{path} }}}}")
    return text.replace(NAMESPACE, "{{ .Release.Namespace }}")


HELPERS = """\
{{- define "ipa.scenario" -}}
SCENARIO{{ end }}
{{- define "ipa.content" -}}
{{- range (fromYaml .Values.pipeline).stages }}{{ if not (has .name (list STAGES)) }}
{{- fail (printf "pipeline: this chart is for the stages %s; make another for %s" (join ", " (list STAGES)) .name) }}
{{- end }}{{ end }}
{{- printf "%s\\n%s\\n%s" .Values.pipeline (include "ipa.scenario" .) "OTHERS" | sha256sum | trunc 16 }}
{{- end }}
"""


def _helpers(deployed: Deployed, scenario: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """The helpers: the scenario's text, the digest whose change replaces the pod, and the refusal of other stages."""
    text = _escaped(scenario_text({**scenario, "policy": _mark("policy")}))
    text = text.replace(json.dumps(_mark("policy")), "{{ toJson .Values.policy }}")
    stages = " ".join(map(json.dumps, deployed.stages))
    return HELPERS.replace("STAGES", stages).replace("OTHERS", other_files(files)).replace("SCENARIO", text)


def _notes(deployed: Deployed) -> str:
    return (
        "The token of the gateway's control port is made once, by whoever installs; the gateway waits for it:\n\n"
        f"    ipa live manifests PIPELINE --name {deployed.instance} --namespace {{{{ .Release.Namespace }}}} "
        "--control-secret | kubectl create -f -\n"
    )


def _escaped(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')
