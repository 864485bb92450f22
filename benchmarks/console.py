"""How long the console's pages take on a running market, and whether their 95th percentile stays under 200 ms.

    uv run marketplace demo --data DATA && uv run marketplace up --data DATA
    uv run python -m benchmarks.console http://127.0.0.1:8000 ADMIN_KEY

The pages are asked one after the other, as a browser that waits for each. Exits with 1 where a page is slower.
"""

import argparse
import re
import statistics
import sys
import time

import httpx

LIMIT_MILLISECONDS = 200
SHARE = 0.95


def main() -> int:
    """Ask every page and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    with httpx.Client(base_url=options.url, timeout=60) as browser:
        sign_in(browser, options.key)
        slow = [path for path in list_pages(browser, options.key) if not is_quick(browser, path, options.rounds)]
    return 1 if slow else 0


def sign_in(browser: httpx.Client, key: str) -> None:
    """Begin a session."""
    page = browser.get("/console/sign-in").text
    token = re.search(r'name="_csrf_token" value="([^"]+)"', page)
    assert token is not None, page
    answer = browser.post("/console/sign-in", data={"key": key, "_csrf_token": token[1]})
    assert answer.status_code == httpx.codes.SEE_OTHER, answer.text


def list_pages(browser: httpx.Client, key: str) -> list[str]:
    """Return the operator's pages, with the first of each kind of thing."""
    headers = {"Authorization": f"Bearer {key}"}

    def find(path: str, name: str) -> str:
        items = browser.get(path, params={"limit": 1}, headers=headers).json()["items"]
        assert items, f"{path} is empty; play a market first"
        found: str = items[0][name]
        return found

    auction, order = find("/v1/auctions", "auction_id"), find("/v1/orders", "order_id")
    party, grant = find("/v1/parties", "party_id"), find("/v1/grants", "grant_id")
    lists = (
        "operator",
        "queues",
        "auctions",
        "orders",
        "events",
        "parties",
        "keys",
        "projections",
        "grants",
        "statements",
    )
    things = (
        f"auctions/{auction}",
        f"auctions/{auction}?decided=won",
        f"orders/{order}",
        f"parties/{party}",
        f"history/{grant}",
        "events/1000",
    )
    return [f"/console/{name}" for name in (*lists, *things)]


def is_quick(browser: httpx.Client, path: str, rounds: int) -> bool:
    """Ask a page several times and print its times."""
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        answer = browser.get(path)
        times.append(1_000 * (time.perf_counter() - begun))
        assert answer.status_code == httpx.codes.OK, f"{path}: {answer.status_code}"
    times = sorted(times[1:])
    high = times[min(len(times) - 1, int(SHARE * len(times)))]
    verdict = "" if high <= LIMIT_MILLISECONDS else f"  slower than {LIMIT_MILLISECONDS} ms"
    print(f"{path:60}  median {statistics.median(times):6.1f} ms  p95 {high:6.1f} ms{verdict}")
    return high <= LIMIT_MILLISECONDS


if __name__ == "__main__":
    sys.exit(main())
