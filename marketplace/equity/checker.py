"""An independent check of certificates: nothing here comes from the solver, and nothing is solved again.

A round is checked by putting its results into the equations that define it; a distribution by paying it out again in
another way and by letting every class try its other choices. A certificate that is changed in any figure fails.
"""

from collections.abc import Callable, Mapping
from typing import Any

from marketplace.equity.distribution_check import check_distribution
from marketplace.equity.round_check import check_round

Certificate = Mapping[str, Any]
_CHECKS: Mapping[str, Callable[[Certificate], list[str]]] = {
    "priced_round": check_round,
    "distribution": check_distribution,
}


def verify(certificate: Certificate) -> list[str]:
    """Check a certificate of a priced round or of a distribution.

    Args:
        certificate: JSON values as the engine wrote them.

    Returns:
        What is wrong, one sentence each; empty if everything holds.
    """
    kind = certificate.get("kind")
    if not isinstance(kind, str) or kind not in _CHECKS or certificate.get("version") != 1:
        known = ", ".join(_CHECKS)
        return [
            f"certificate kind {kind!r} version {certificate.get('version')!r} is unknown; known: version 1 of {known}"
        ]
    try:
        return _CHECKS[kind](certificate)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        return [f"the certificate cannot be read: {type(error).__name__}: {error}"]
