"""A mesh of one default revision, for tests of injection: YAML text to add to."""

from textwrap import dedent

MESH = dedent("""
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: istio-sidecar-injector
  labels: {istio.io/rev: default}
  creationTimestamp: '2026-11-01T00:00:00Z'
webhooks:
- name: namespace.sidecar-injector.istio.io
  clientConfig:
    service: {name: istiod, namespace: istio-system, path: /inject, port: 443}
    caBundle: ''
  namespaceSelector: {matchExpressions: [{key: istio-injection, operator: In, values: [enabled]}]}
  objectSelector:
    matchExpressions: [{key: sidecar.istio.io/inject, operator: NotIn, values: ['false']}]
  rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods], scope: '*'}]
  failurePolicy: Fail
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Service
metadata: {name: istiod, namespace: istio-system}
spec: {selector: {app: istiod}, ports: [{name: https-webhook, port: 443, targetPort: 15017}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: istiod-1, namespace: istio-system, labels: {kubernetes.io/service-name: istiod}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
---
apiVersion: v1
kind: Pod
metadata:
  name: istiod-6f7d8c9b5-aaaaa
  namespace: istio-system
  labels: {app: istiod, istio.io/rev: default, pod-template-hash: 6f7d8c9b5}
  ownerReferences: [{kind: ReplicaSet, name: istiod-6f7d8c9b5, controller: true}]
spec: {nodeName: n1, containers: [{name: discovery, image: 'docker.io/istio/pilot:1.30.1'}]}
status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data:
  config: "policy: enabled\\ntemplates: {sidecar: x, gateway: y}\\n"
  values: >-
    {"global": {"proxy": {"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "100m"}}}}}
""")

SHOP = dedent("""
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled}
  managedFields: [{manager: kubectl, operation: Update, time: '2026-11-10T00:00:00Z'}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: cart}}
  template: {metadata: {labels: {app: cart}}, spec: {containers: [{name: cart, image: cart}]}}
status: {replicas: 1, readyReplicas: 1}
""")


def pod(created: str, *, sidecar: bool, ready: str = "True", more: str = "") -> str:
    """A pod of shop/cart."""
    proxy = ", {name: istio-proxy, image: 'docker.io/istio/proxyv2:1.30.1', args: [proxy, sidecar]}"
    return f"""
---
apiVersion: v1
kind: Pod
metadata:
  name: cart-7c9d8b6f5-xxxxx
  namespace: shop
  creationTimestamp: '{created}'
  labels: {{app: cart, pod-template-hash: 7c9d8b6f5}}
  ownerReferences: [{{kind: ReplicaSet, name: cart-7c9d8b6f5, controller: true}}]
spec: {{nodeName: n1, containers: [{{name: cart, image: cart}}{proxy if sidecar else ""}]}}
status:
  phase: Running
  conditions: [{{type: Ready, status: '{ready}'}}]
  containerStatuses: [{{name: cart, ready: true, state: {{running: {{}}}}}}]
{more}
"""
