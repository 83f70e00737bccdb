"""Training data from logs larger than memory, built bucket by bucket of customers with Dask.

`offline.examples.examples` holds a whole log and all its vectors at once; this package makes the same examples, to
the bit, of a log of any size. Verdicts on late events hang on all events of a partition in order of arrival, states
on all events of one customer. So the log is first read through for its times alone, which gives the watermarks at the
beginning of every piece of it; then pieces are dealt out into buckets by a hash of the customer id, and then every
bucket is folded, labelled and written, each piece and each bucket a task of its own, on this machine or on a cluster.
"""

from offline.examples.buckets.building import BuildSettings, build_folder
from offline.examples.buckets.errors import BucketError
from offline.examples.buckets.manifest import FolderManifest, is_folder, read_manifest
from offline.examples.buckets.reading import Loaded, read_folder

__all__ = [
    "BucketError",
    "BuildSettings",
    "FolderManifest",
    "Loaded",
    "build_folder",
    "is_folder",
    "read_folder",
    "read_manifest",
]
