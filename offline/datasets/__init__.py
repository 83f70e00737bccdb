"""Loaders: from the files that shops and public data sets have to the common event log.

A loader knows one source and says in its module's docstring how it understands it; `columns` takes any file
whose columns someone names. Each returns a `Dataset`: the log, and a `Conversion` that accounts for every row
of the source. What is made up belongs to the simulator instead, and what a running system recorded to `intent
archive`.
"""

from offline.datasets.columns import load_columns
from offline.datasets.conversion import Conversion, Count, DatasetError
from offline.datasets.dataset import Dataset
from offline.datasets.messages import load_messages
from offline.datasets.olist import load_olist
from offline.datasets.online_retail import load_online_retail
from offline.datasets.rees46 import load_rees46
from offline.datasets.retailrocket import load_retailrocket
from offline.datasets.shop_exports import SHOPIFY, WOOCOMMERCE, load_export

__all__ = [
    "SHOPIFY",
    "WOOCOMMERCE",
    "Conversion",
    "Count",
    "Dataset",
    "DatasetError",
    "load_columns",
    "load_export",
    "load_messages",
    "load_olist",
    "load_online_retail",
    "load_rees46",
    "load_retailrocket",
]
