"""Which objects does a snapshot hold, and in which order?"""

from meshdoctor.model.kubernetes import ConfigMap, Meta, Object, Pod
from meshdoctor.model.snapshot import Snapshot


def made(type_: type[Object], kind: str, namespace: str, name: str, uid: str = "") -> Object:
    meta = Meta(namespace=namespace, name=name, uid=uid)
    return type_(api_version="v1", kind=kind, metadata=meta)


def test_objects_by_kind_namespace_and_name() -> None:
    first, last = made(Pod, "Pod", "shop", "a", "1"), made(Pod, "Pod", "shop", "a", "2")
    other = made(Pod, "Pod", "pay", "z")
    nameless = made(Pod, "Pod", "shop", "", "0")
    setting = made(ConfigMap, "ConfigMap", "shop", "a")
    unread = made(Object, "Unheard", "shop", "a")
    found = Snapshot([first, nameless, other, setting, unread, last])
    assert found.get("Pod", "shop", "a") is last
    assert found.get("Pod", "shop", "0") is nameless
    assert found.list("Pod") == (other, nameless, last)
    assert found.list("Pod", "shop") == (nameless, last)
    assert found.list("Pod", "gone") == found.list("Unheard") == ()
    assert found.kinds == {"Pod", "ConfigMap"} and len(found) == 4
    assert found.get("ConfigMap", "shop", "a") is setting
