"""The add-ons that are stacked on the compose file: a GPU, and servers of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.deploy import compose
from worker.settings import Settings

BASE = compose.parse(compose.BASE.read_text())
SECRETS = {name: "secret" for name, forms in compose.variables(compose.BASE.read_text()).items() if ":?" in forms}


@pytest.mark.parametrize("path", compose.ADD_ONS, ids=lambda path: path.name)
def test_add_ons_change_services_that_exist(path: Path):
    """An add-on never adds a service by a misspelt name."""
    assert set(compose.parse(path.read_text())["services"]) <= set(BASE["services"])


def test_the_gpu_add_on_asks_for_one_and_insists_on_it():
    """The worker gets an NVIDIA device, the image built for it, and no silent fall-back to the CPU."""
    worker = compose.parse((compose.ROOT / "deploy/gpu.yml").read_text())["services"]["worker"]
    assert [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}] == worker["deploy"]["resources"]["reservations"][
        "devices"
    ]
    assert "gpu" == worker["build"]["args"]["DEVICE"]
    assert "cuda" == worker["environment"].pop("ENRICH_DEVICE")


def test_the_gpu_add_on_has_the_same_defaults_as_the_product():
    """Where .env says nothing, a worker on a GPU takes as much at once as any."""
    worker = compose.parse((compose.ROOT / "deploy/gpu.yml").read_text())["services"]["worker"]
    fields = Settings.model_fields
    for name in ("processes", "claim_batch", "encoder_batch"):
        variable = f"ENRICH_{name.upper()}"
        assert f"${{{variable}:-{fields[name].default}}}" == worker["environment"][variable]


@pytest.mark.parametrize(
    ("add_on", "service", "variable"),
    [
        ("external-postgres.yml", "postgres", "ENRICH_DATABASE_URL"),
        ("external-broker.yml", "valkey", "ENRICH_BROKER_URL"),
        ("external-s3.yml", "seaweedfs", "ENRICH_BUCKETS"),
    ],
)
def test_a_replaced_server_is_neither_started_nor_waited_for(add_on, service, variable):
    """Its service is behind a profile, nobody who waited for it still must, and the replacement must be named."""
    external = compose.parse((compose.ROOT / "deploy" / add_on).read_text())
    left_out = {name for name, each in external["services"].items() if each.get("profiles")}
    waiting = {name for name, each in BASE["services"].items() if service in each.get("depends_on", {})} - left_out
    released = {
        name
        for name, each in external["services"].items()
        if not each.get("depends_on", {}).get(service, {}).get("required", True)
    }
    assert [f"bundled-{'s3' if service == 'seaweedfs' else service}"] == external["services"][service]["profiles"]
    assert released == waiting
    with pytest.raises(compose.MissingVariableError, match=variable):
        compose.interpolate(external, SECRETS)
