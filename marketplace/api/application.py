"""The HTTP application: middleware, routes and problem documents."""

from typing import Any, Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp

from marketplace import __version__
from marketplace.api.access import api_keys, parties
from marketplace.api.billing import account_statements, accounts, holds, service_lines, statements
from marketplace.api.delivery import grants
from marketplace.api.equity import books, cap_tables, financings, instruments, issuer_rights, issuer_stock, issuers
from marketplace.api.feed import events
from marketplace.api.http import clock, operation
from marketplace.api.http.auth_middleware import AuthMiddleware, Limits
from marketplace.api.http.commands import provide_command
from marketplace.api.http.metrics import Metrics
from marketplace.api.http.problems import DOCUMENTED, HANDLERS
from marketplace.api.http.queries import provide_reading
from marketplace.api.http.reference import ReferencePage
from marketplace.api.http.services import Services
from marketplace.api.http.strict_json import StrictBody
from marketplace.api.metering import allocations, meters, usage
from marketplace.api.supply import lots, pools, sites
from marketplace.api.trading import auctions, mandates, market, market_data, orders, quotes

_FEATURES: Final[tuple[tuple[str, Router], ...]] = (
    ("parties", parties.ROUTER),
    ("parties", books.ROUTER),
    ("api_keys", api_keys.ROUTER),
    ("sites", sites.ROUTER),
    ("pools", pools.ROUTER),
    ("lots", lots.ROUTER),
    ("mandates", mandates.ROUTER),
    ("orders", orders.ROUTER),
    ("quotes", quotes.ROUTER),
    ("auctions", auctions.ROUTER),
    ("grants", grants.ROUTER),
    ("usage", usage.ROUTER),
    ("usage", meters.ROUTER),
    ("usage", allocations.ROUTER),
    ("statements", statements.ROUTER),
    ("grants", service_lines.ROUTER),
    ("instruments", instruments.ROUTER),
    ("issuers", issuers.ROUTER),
    ("issuers", issuer_stock.ROUTER),
    ("issuers", issuer_rights.ROUTER),
    ("issuers", financings.ROUTER),
    ("issuers", cap_tables.ROUTER),
    *(("accounts", router) for router in accounts.ROUTERS),
    ("accounts", account_statements.ROUTER),
    ("accounts", holds.ROUTER),
    ("market", market.ROUTER),
    ("market", market_data.ROUTER),
    ("events", events.ROUTER),
    ("clock", clock.ROUTER),
)


def create_application(services: Services) -> Litestar:
    """Return the application with these services. The caller starts and stops them."""
    metrics, limits = Metrics(services), Limits(services)

    def gate(app: ASGIApp) -> ASGIApp:
        return AuthMiddleware(app, services, limits, metrics)

    return Litestar(
        route_handlers=[*(_tag(feature, router) for feature, router in _FEATURES), operation.ROUTER],
        middleware=[gate],
        dependencies={"command": Provide(provide_command), "reading": Provide(provide_reading)},
        dto=StrictBody,
        return_dto=None,
        exception_handlers=HANDLERS,
        request_max_body_size=services.settings.body_bytes_max,
        openapi_config=OpenAPIConfig(
            title="Compute-for-equity marketplace",
            version=__version__,
            path="/schema",
            render_plugins=[JsonRenderPlugin(), ReferencePage()],
            components=Components(security_schemes={"apiKey": SecurityScheme(type="http", scheme="bearer")}),
            security=[{"apiKey": []}],
        ),
        state=State({"services": services, "metrics": metrics}),
        logging_config=None,
        debug=False,
    )


def _tag(feature: str, router: Router) -> Router:
    """Set the scope that a router's routes need, and the problems that they return."""
    options: dict[str, Any] = {"feature": feature}
    router.opt = {**router.opt, **options}
    for route in router.routes:
        for handler in getattr(route, "route_handlers", ()):
            handler.responses = DOCUMENTED
    return router
