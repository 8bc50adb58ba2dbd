"""The dashboard's pages, made here from a few queries each; parts of them are asked for anew by htmx.

Each module below adds its pages to the one router.
"""

from __future__ import annotations

from api.dashboard import (
    administration,
    alerts,
    bulk,
    desk,
    entrance,
    fleet,
    models,
    questions,
    reports,
    rules,
    sim_list,
    sim_page,
)
from api.dashboard.entrance import lead_to_sign_in
from api.dashboard.routing import router

PAGES = (administration, alerts, bulk, desk, entrance, fleet, models, questions, reports, rules, sim_list, sim_page)
__all__ = ["PAGES", "lead_to_sign_in", "router"]
