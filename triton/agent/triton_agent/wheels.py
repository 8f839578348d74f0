"""The packages a local Triton is made of: names, versions and hashes, and nothing else."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wheel:
    """One pinned wheel.

    Attributes:
        project: Its name on the package index.
        version: Its version.
        filename: Its file name; the platform tag says where it runs.
        sha256: Hash of the file, hexadecimal.
    """

    project: str
    version: str
    filename: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The line of a requirements file that pins version and hash."""
        return f"{self.project}=={self.version} --hash=sha256:{self.sha256}"


TRITONSERVER = Wheel(
    "nvidia-pytriton",
    "0.7.0",
    "nvidia_pytriton-0.7.0-py3-none-manylinux_2_35_x86_64.whl",
    "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df",
)
TRITONSERVER_GLIBC = (2, 35)

# The last wheel that carries perf_analyzer and runs on glibc 2.36; later ones need 2.38 or have none.
PERF_ANALYZER = Wheel(
    "tritonclient",
    "2.44.0",
    "tritonclient-2.44.0-py3-none-manylinux1_x86_64.whl",
    "ed8a64ecbb7594ea196dfdc9678d6356b24fdf484995f53400004a195ef33749",
)
# perf_analyzer asks for these by their plain names; the Triton wheel carries both under names of its own.
PERF_ANALYZER_LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
