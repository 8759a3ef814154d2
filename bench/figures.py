"""One figure, told twice: a line for people and a line of JSON for whoever compares runs."""

import json


def report(figure: str, value: float, unit: str, *, goal: float, limit: float) -> None:
    """Print a figure beside what we aim at and what must not be passed."""
    print(f"{figure:32} {value:12,.2f} {unit:6} (goal {goal:,}, limit {limit:,})")
    print(json.dumps({"figure": figure, "value": round(value, 3), "unit": unit, "goal": goal, "limit": limit}))
