"""Vendors and generations of classes of GPUs, by name."""

import pytest

from marketplace.domain.supply.gpu_vendors import find_generation, find_vendor


@pytest.mark.parametrize(
    ("gpu_class", "vendor", "generation"),
    [
        ("A100_SXM_80GB", "nvidia", "ampere"),
        ("L40S", "nvidia", "ada"),
        ("H100_SXM", "nvidia", "hopper"),
        ("GH200", "nvidia", "hopper"),
        ("B200_SXM", "nvidia", "blackwell"),
        ("GB300", "nvidia", "blackwell"),
        ("VR200", "nvidia", "rubin"),
        ("MI250X", "amd", "cdna_2"),
        ("MI300X", "amd", "cdna_3"),
        ("MI355X", "amd", "cdna_4"),
        ("MI450", "amd", "cdna_5"),
        ("GAUDI3", "intel", "gaudi3"),
        ("TPU_V5", "google", "tpu_v5"),
        ("TRN2", "aws", "trainium_2"),
        ("INF2", "aws", "inferentia_2"),
        ("X1", "other", "other"),
        ("TPU", "google", "other"),
    ],
)
def test_a_class_has_a_vendor_and_a_generation(gpu_class, vendor, generation):
    assert (find_vendor(gpu_class), find_generation(gpu_class)) == (vendor, generation)
