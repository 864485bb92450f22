"""Who belongs to whom: an owner that both sides of a trade had in common, told after the trade, and how it ends."""

from events.grant import GrantMarked
from events.register import RegisterRelationEnded, RegisterRelationFound, RegisterRelationStated
from marketplace.domain.register import REGISTER_ID
from tests.contracts.story.clearing import EVALUATION_GRANT
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import LATTICE, NORTHFJORD, PLATFORM, QUILLWORK, TIDEWATER, at
from tests.contracts.story.teller import Teller

OWNER = "lei:5967007lieexzx4lpk21"


def tell_relations(teller: Teller) -> None:
    """State an owner, find the same one of the provider, mark the grant between them, and end a relation."""
    mine, its = name("rel", "owner of Quillwork"), name("rel", "owner of Northfjord")
    told = {"register_id": REGISTER_ID, "owner": OWNER}
    reason = "it holds 40% of the shares"
    for party_id, relation_id in ((QUILLWORK, mine), (NORTHFJORD, its)):
        found = RegisterRelationFound(
            **told, relation_id=relation_id, party_id=party_id, kind="owner", reason="the public register of owners"
        )
        if party_id == QUILLWORK:
            stated = RegisterRelationStated(
                **told, relation_id=relation_id, party_id=party_id, kind="owner", reason=reason
            )
            teller.tell("2031-02-11T09:00", QUILLWORK, stated)
        teller.tell("2031-02-12T09:00", PLATFORM, found)
    marked = GrantMarked(
        grant_id=EVALUATION_GRANT,
        mark="related",
        relation_id=its,
        reason="a relation among its parties became known after the award",
    )
    teller.tell("2031-02-12T09:01", "reactor", marked)
    sisters = name("rel", "Lattice and Tidewater")
    between = {"register_id": REGISTER_ID, "relation_id": sisters, "party_id": TIDEWATER, "related_id": LATTICE}
    stated = RegisterRelationStated(**between, kind="affiliate", reason="one partner directs both")
    teller.tell("2031-02-13T09:00", TIDEWATER, stated)
    ended = RegisterRelationEnded(**between, at=at("2031-02-14T09:00"), reason="the partner left")
    teller.tell("2031-02-14T09:00", TIDEWATER, ended)
