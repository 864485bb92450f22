"""An independent check of certificates. It shares no code with the solver and solves nothing again.

The results of a round are put into the equations that define it. A distribution is paid out again by another method,
and every class tries its other choices. A certificate fails if any figure in it is changed.
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
