"""What requests send and what answers hold that is no view: every type of the server's own, under one name."""

from marketplace.api.http.bodies.accounts import *
from marketplace.api.http.bodies.allocations import *
from marketplace.api.http.bodies.answers import *
from marketplace.api.http.bodies.bonds import *
from marketplace.api.http.bodies.cap_tables import *
from marketplace.api.http.bodies.delivery import *
from marketplace.api.http.bodies.equity import *
from marketplace.api.http.bodies.feed import *
from marketplace.api.http.bodies.issuers import *
from marketplace.api.http.bodies.market import *
from marketplace.api.http.bodies.meters import *
from marketplace.api.http.bodies.parties import *
from marketplace.api.http.bodies.projections import *
from marketplace.api.http.bodies.quotes import *
from marketplace.api.http.bodies.reasons import *
from marketplace.api.http.bodies.service_lines import *
from marketplace.api.http.bodies.supply import *
from marketplace.api.http.bodies.trading import *
