"""What an application's log says of the role that AWS knows it under."""

import pytest

from meshdoctor.mesh.aws_role import own_role, read
from meshdoctor.model.kubernetes import ServiceAccount
from tests.unit.mesh.objects import one

NODES = "arn:aws:sts::111122223333:assumed-role/nodes-1A2B/i-0abc"
OWN = "arn:aws:sts::111122223333:assumed-role/pay/1700000000"


@pytest.mark.parametrize(
    ("line", "denied", "failed"),
    [
        (f"AccessDeniedException: User: {NODES} is not authorized to perform: logs:Put", 1, 0),
        (f"User: {OWN} is not authorized to perform: s3:GetObject", 0, 0),  # it is itself
        (f"running as {NODES}", 0, 0),
        ("STS assume role request failed: connection to sts.eu-west-1.amazonaws.com refused", 0, 1),
        ("Unable to execute HTTP request: Connect to sts.amazonaws.com:443 failed", 0, 1),
        ("WebIdentityErr: caused by: RequestError: send request failed AssumeRoleWithWebIdentity",
         0, 1),
        ("AssumeRoleWithWebIdentity: not authorized", 0, 0),
        ("[aws_credentials] STS assume role request failed", 0, 1),
        ("STS AssumeRoleWithWebIdentity: broken connection (HTTP Status: 0)", 0, 1),
        ("no permissions for [indices:data/write/bulk] and User [name=arn:aws:iam::111122223333:"
         "role/nodes-1A2B, backend_roles=[]]", 1, 0),
        ("AccessDenied: not authorized on arn:aws:iam::111122223333:role/other", 0, 0),
        ("connection to db.shop:5432 refused", 0, 0),
    ],
)  # fmt: skip
def test_lines(line: str, denied: int, failed: int) -> None:
    found = read(f"one\n{line}\n", "pay")
    assert (len(found.denied), len(found.sts_failures)) == (denied, failed)
    assert found.role == ("nodes-1A2B" if denied else "")


def test_the_role_of_an_account() -> None:
    account = one(
        ServiceAccount,
        """
kind: ServiceAccount
apiVersion: v1
metadata:
  name: pay
  namespace: shop
  annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::111122223333:role/teams/pay"}
""",
    )
    assert (own_role(account), own_role(None), own_role(ServiceAccount())) == ("pay", "", "")
