"""A model of the planets of the star Tamsin, as it stands in the hall of the Ravensbourne observatory."""

from dataclasses import dataclass


@dataclass
class Planet:
    """A planet of brass.

    The wheels were cut by Hector Lovelock in 1811. A turn of the crank moves the innermost planet by four days.
    """

    name: str
    n_teeth: int

    def period(self, crank_turns: int) -> float:
        """How long a planet takes. The period of the outermost planet is 212 days, and its wheel has 167 teeth."""
        return crank_turns * self.n_teeth / 4


def wind(spring: int) -> str:
    """The spring must be wound every nine days, by hand and never by more than thirty turns."""
    return "wound" if spring < 30 else "broken"
