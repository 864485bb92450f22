"""Who gets which of the nodes that lots carry together: augmenting paths, exact for any sets of lots."""

from itertools import pairwise


def assign(layers: tuple[tuple[int, ...], ...], needs: dict[int, int], used: list[int]) -> dict[int, dict[int, int]]:
    """Return how many nodes each layer takes of each step, given what the steps carry together.

    Args:
        layers: Steps that each layer may use, narrowest first.
        needs: Nodes per layer.
        used: Nodes per step; they sum to the needs and some assignment exists.
    """
    left = list(used)
    quotas: dict[int, dict[int, int]] = {layer: {} for layer in needs}
    for layer in sorted(needs):
        need = needs[layer]
        while need:
            path = _find_path(layers, quotas, left, layer)
            need -= _push(quotas, left, path, need)
    return quotas


Path = list[tuple[int, int]]


def _find_path(
    layers: tuple[tuple[int, ...], ...], quotas: dict[int, dict[int, int]], left: list[int], first: int
) -> Path:
    """Return (layer, step) pairs: each layer takes of its step what the next one gives up, the last what is left."""
    paths: list[Path] = [[(first, step)] for step in layers[first]]
    seen = {step for ((_, step),) in paths}
    for path in paths:
        step = path[-1][1]
        if left[step]:
            return path
        for layer, quota in quotas.items():
            if quota.get(step):
                for other in layers[layer]:
                    if other not in seen:
                        seen.add(other)
                        paths.append([*path, (layer, other)])
    raise AssertionError(f"what the lots carry cannot be handed out to layer {first}")


def _push(quotas: dict[int, dict[int, int]], left: list[int], path: Path, need: int) -> int:
    """Move nodes along a path and return how many."""
    given = [quotas[layer][step] for (_, step), (layer, _) in pairwise(path)]
    amount = min(need, left[path[-1][1]], *given)
    for at, (layer, step) in enumerate(path):
        quotas[layer][step] = quotas[layer].get(step, 0) + amount
        if at + 1 < len(path):
            quotas[path[at + 1][0]][step] -= amount
    left[path[-1][1]] -= amount
    return amount
