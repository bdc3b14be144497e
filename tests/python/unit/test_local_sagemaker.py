"""The local SageMaker walks through the states of the true one, and answers by botocore's model of the API."""

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from orchestration.local.stand_ins.sagemaker.plane import ROLE, ControlPlane, Course
from orchestration.local.stand_ins.sagemaker.shapes import problems
from support.churn import client, sagemaker

API = botocore.session.get_session().get_service_model("sagemaker")
MODEL = {"Image": "image:1", "ModelDataUrl": "s3://models/model.tar.gz"}


@pytest.fixture(scope="module")
def planes():
    with sagemaker() as found:
        yield found


@pytest.fixture
def plane(planes):
    """A local SageMaker with two configurations, `a` and `b`."""
    planes.clear()
    found = client(planes)
    for name in "ab":
        found.create_model(ModelName=name, PrimaryContainer=MODEL, ExecutionRoleArn=ROLE)
        variant = {"VariantName": "all", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
        found.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    return planes


def seen(plane: ControlPlane, looks: int) -> list[tuple[str, str]]:
    """The status and the configuration at so many looks."""
    found = [client(plane).describe_endpoint(EndpointName="e") for _ in range(looks)]
    return [(one["EndpointStatus"], one["EndpointConfigName"]) for one in found]


def test_an_endpoint_is_created_updated_and_deleted(plane):
    found = client(plane)
    found.create_endpoint(EndpointName="e", EndpointConfigName="a")
    assert seen(plane, 2) == [("Creating", "a"), ("InService", "a")]
    found.get_waiter("endpoint_in_service").wait(EndpointName="e")
    found.update_endpoint(EndpointName="e", EndpointConfigName="b")
    during = found.describe_endpoint(EndpointName="e")
    assert during["PendingDeploymentSummary"]["EndpointConfigName"] == "b"
    assert (during["EndpointStatus"], during["ProductionVariants"][0]["CurrentInstanceCount"]) == ("Updating", 2)
    assert seen(plane, 2) == [("InService", "b")] * 2
    found.delete_endpoint(EndpointName="e")
    assert seen(plane, 1) == [("Deleting", "b")]
    with pytest.raises(ClientError, match=r'Could not find endpoint "arn:aws:sagemaker:.*/e"'):
        seen(plane, 1)


STATES = {
    "rolled back": (Course(("Updating", "RollingBack"), takes=False, reason="an alarm"),
                    ["Updating", "RollingBack", "InService"]),
    "failed": (Course(ends="Failed", takes=False, reason="no capacity"), ["Updating", "Failed"]),
    "out of service": (Course(ends="OutOfService", takes=False), ["Updating", "OutOfService"]),
    "not rolled back": (Course(("Updating", "RollingBack"), "UpdateRollbackFailed", False),
                        ["Updating", "RollingBack", "UpdateRollbackFailed"]),
    "maintained": (Course(("SystemUpdating", "Updating")), ["SystemUpdating", "Updating", "InService"]),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_every_course_is_seen(plane, name):
    course, states = STATES[name]
    found = client(plane)
    found.create_endpoint(EndpointName="e", EndpointConfigName="a")
    seen(plane, 2)
    plane.courses.append(course)
    found.update_endpoint(EndpointName="e", EndpointConfigName="b")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        found.update_endpoint(EndpointName="e", EndpointConfigName="b")
    with pytest.raises(ClientError, match="Cannot delete in-progress endpoint"):
        found.delete_endpoint(EndpointName="e")
    ends = "b" if course.takes else "a"
    assert seen(plane, len(states)) == [*((state, "a") for state in states[:-1]), (states[-1], ends)]
    assert found.describe_endpoint(EndpointName="e").get("FailureReason", "") == course.reason
    assert set(states) <= set(API.shape_for("EndpointStatus").enum)


def test_a_failed_one_can_be_deleted_and_nothing_else(plane):
    plane.courses.append(Course(ends="Failed", reason="no capacity"))
    found = client(plane)
    found.create_endpoint(EndpointName="e", EndpointConfigName="a")
    assert seen(plane, 2) == [("Creating", "a"), ("Failed", "a")]
    assert "ProductionVariants" not in found.describe_endpoint(EndpointName="e")
    with pytest.raises(ClientError, match="Cannot update failed endpoint"):
        found.update_endpoint(EndpointName="e", EndpointConfigName="b")
    found.delete_endpoint(EndpointName="e")


@pytest.mark.parametrize(
    ("operation", "asked", "says"),
    [
        ("create_model", {"ModelName": "a"}, "Cannot create already existing model"),
        ("create_endpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, "Could not find endpoint configuration"),
        (
            "create_endpoint",
            {"EndpointName": "e_", "EndpointConfigName": "a"},
            "'e_' at 'EndpointName' failed to satis",
        ),
        ("update_endpoint", {"EndpointName": "e", "EndpointConfigName": "a"}, "Could not find endpoint "),
        ("delete_model", {"ModelName": "c"}, "Could not find model "),
        ("describe_endpoint_config", {"EndpointConfigName": "c"}, "Could not find endpoint configuration"),
        ("list_domains", {}, "The local SageMaker knows no ListDomains"),
    ],
)
def test_what_the_true_one_refuses_is_refused(plane, operation, asked, says):
    with pytest.raises(ClientError, match=says):
        getattr(client(plane), operation)(**asked)


def test_lists_have_pages(plane):
    found = client(plane)
    for number in range(25):
        found.create_model(ModelName=f"m-{number}", PrimaryContainer=MODEL, ExecutionRoleArn=ROLE)
    pages = list(found.get_paginator("list_models").paginate(NameContains="m-", SortOrder="Descending"))
    assert [len(page["Models"]) for page in pages] == [10, 10, 5]
    names = [model["ModelName"] for page in pages for model in page["Models"]]
    assert names == [f"m-{number}" for number in reversed(range(25))]


def test_all_that_it_knows_is_of_the_api():
    """Each answer in these tests is checked by its shape; here, that what checks them finds what is wrong."""
    handled = {name for name in API.operation_names if hasattr(ControlPlane, f"_{xform_name(name)}")}
    assert len(handled) == 12
    shape = API.shape_for("DescribeEndpointOutput")
    assert "Missing required parameter" in problems({"EndpointName": "e"}, shape)
    wrong = {"EndpointName": "e", "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e",
             "CreationTime": 1.0, "LastModifiedTime": 1.0}  # fmt: skip
    assert problems(wrong | {"EndpointStatus": "InService"}, shape) == ""
    assert "'Sleeping' at 'EndpointStatus'" in problems(wrong | {"EndpointStatus": "Sleeping"}, shape)
    assert "Unknown" in problems(wrong | {"EndpointStatus": "InService", "Mood": "good"}, shape)
