"""meshdoctor tells an on-call engineer why an Istio service mesh is failing."""

__version__ = "0.1.0"
