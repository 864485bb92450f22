"""The third grant sells half a day of one node on before it ends; told as one command tells it."""

from events import grant, lot, pool
from events import instrument as ins
from events.types import LotShare
from tests.projections import market
from tests.projections.market import CASH, FUND, ISSUER, LOT, PAID, POOL, PROVIDER, START, STARTUP, STRANGER
from tests.projections.story import HOUR, Story, make_id, usd

SELLER, BUYER, LOOKER, RESALE_LOT = make_id("grt", 3), make_id("grt", 30), make_id("grt", 31), make_id("lot", 30)
NOON, END = START + 12 * HOUR, START + 24 * HOUR


def tell_resale(story: Story) -> None:
    """Offer a node, sell it to another startup, and take it off what was committed."""
    span = {"nodes": 1, "start": NOON, "end": END}
    story.tell(
        lot.LotListed(
            lot_id=RESALE_LOT,
            pool_id=POOL,
            provider_id=STARTUP,
            **span,
            ask_usd_per_gpu_hour=usd("2.75"),
            grant_id=SELLER,
        ),
        pool.PoolCapacityOffered(pool_id=POOL, lot_id=RESALE_LOT, **span, grant_id=SELLER),
        actor=STARTUP,
    )
    _tell_holds(story)
    story.tell(
        pool.PoolCapacityResold(
            pool_id=POOL,
            grant_id=BUYER,
            grant_id_before=SELLER,
            lot_id=RESALE_LOT,
            **span,
            lots=(LotShare(lot_id=LOT, **span),),
            lots_left=(
                LotShare(lot_id=LOT, nodes=2, start=START, end=NOON),
                LotShare(lot_id=LOT, **span),
            ),
        ),
        build_bought(),
        grant.GrantResold(
            grant_id=SELLER,
            resale_grant_id=BUYER,
            lot_id=RESALE_LOT,
            **span,
            gpu_seconds=96 * 3600,
            price_usd_per_gpu_hour="11/4",
            cash_commitment_usd=usd("576.00"),
            principal_commitment_usd=usd("288.00"),
            budget_commitment_usd=usd("144.00"),
        ),
        ins.InstrumentCommitmentReduced(
            instrument_id=make_id("ins", 3),
            issuer_id=ISSUER,
            holder_id=FUND,
            amount_usd=usd("96.00"),
            cause=BUYER,
        ),
        actor="auctioneer",
    )


def _tell_holds(story: Story) -> None:
    """Let one who looks hold the node and let it go, and then the one who buys it."""
    for holder in (LOOKER, BUYER):
        held = pool.PoolCapacityHeld(
            pool_id=POOL,
            grant_id=holder,
            grant_id_before=SELLER,
            lot_id=RESALE_LOT,
            nodes=1,
            start=NOON,
            end=END,
        )
        story.tell(held, actor=STRANGER)
        if holder == LOOKER:
            freed = pool.PoolCapacityReleased(pool_id=POOL, grant_id=holder, at=NOON, grant_id_before=SELLER)
            story.tell(freed, actor=STRANGER)


def build_bought() -> grant.GrantIssued:
    return grant.GrantIssued(
        grant_id=BUYER,
        order_id=make_id("ord", 30),
        auction_id=market.AUCTION,
        startup_id=STRANGER,
        provider_id=PROVIDER,
        pool_id=POOL,
        gpu_class="H100_SXM",
        nodes=1,
        gpus_per_node=8,
        start=NOON,
        end=END,
        lots=(LotShare(lot_id=RESALE_LOT, nodes=1, start=NOON, end=END),),
        price_usd_per_gpu_hour="11/4",
        cash_share="1/1",
        startup_account_id=make_id("acc", 30),
        provider_account_id=PAID,
        hold_id=make_id("hld", 30),
        cash_commitment_usd=usd("264.00"),
        resale=grant.ResalePart(
            grant_id=SELLER,
            lot_id=RESALE_LOT,
            seller_id=STARTUP,
            seller_account_id=CASH,
            hold_id=make_id("hld", 31),
            owed_usd_per_gpu_hour="5/2",
            commitment_usd=usd("0.00"),
        ),
    )
