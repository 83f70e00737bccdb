"""The stage "products": bestsellers, categories, what is bought together, refunds, and the time to the next order."""

from __future__ import annotations

from offline.chapters.products.findings import Findings
from offline.chapters.products.lines import order_lines
from offline.chapters.products.next_order import next_order
from offline.chapters.products.refunds import refunds
from offline.chapters.products.sellers import categories, sellers
from offline.chapters.products.together import together
from offline.chapters.workspace import Workspace
from offline.exceptions import TrainingError
from offline.lab.differences import supported
from offline.report.section import Section


def describe_products(workspace: Workspace) -> Section:
    """Run the stage on the log of a report."""
    view, currency = workspace.customer_view, workspace.context.currency
    looks: list[Findings] = []
    with workspace.progress("Counting products"):
        try:
            lines = order_lines(workspace.log, workspace.context)
        except TrainingError as error:
            looks.append(Findings("products", [f"No products: {error}."], figures={"products": 0}))
        else:
            looks += [
                sellers(lines, workspace.item_names, currency, workspace.directory),
                categories(lines, currency),
                together(lines, workspace.item_names),
            ]
        looks += [refunds(view), next_order(view)]
    stand = iter(supported([claim for look in looks for claim in look.claims]))
    summary = [
        sentence
        for look in looks
        for sentence in (*look.summary, *[claim.sentence for claim in look.claims if next(stand)])
    ]
    return Section(
        "products",
        "Products",
        summary,
        [part for look in looks for part in look.parts],
        {look.name: look.figures for look in looks},
    )
