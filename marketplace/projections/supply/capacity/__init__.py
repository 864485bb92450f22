"""Capacity and market depth, now and as of any sequence or instant. Rows are only added, never changed."""

from marketplace.projections.supply.capacity.calendar import load_calendar
from marketplace.projections.supply.capacity.depth import list_classes, load_depth, load_public_depth
from marketplace.projections.supply.capacity.incidents import list_incidents
from marketplace.projections.supply.capacity.projection import PROJECTION

__all__ = ["PROJECTION", "list_classes", "list_incidents", "load_calendar", "load_depth", "load_public_depth"]
