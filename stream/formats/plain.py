"""The formats that wrap no other one, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stream.formats.contract import Format
from stream.formats.ga4 import GA4
from stream.formats.segment import Segment
from stream.formats.shopify import Shopify
from stream.formats.snowplow import Snowplow

PLAIN: Final[Mapping[str, Format]] = {form.name: form for form in (GA4(), Segment(), Snowplow(), Shopify())}
