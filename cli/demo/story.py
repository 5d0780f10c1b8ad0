"""The story of a payment that fails, and how the demo shows it."""

from dataclasses import dataclass

from cli.output import console, print_table


@dataclass(frozen=True, slots=True)
class Told:
    """What happened on which day after the failure."""

    day: int
    what: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Story:
    customer: str
    events: tuple[Told, ...]
    campaign: str
    invoice: str
    subscription: str


def print_story(story: Story) -> None:
    console.print(f"\n{story.customer} pays by a card without funds. Days after the failure:\n", markup=False)
    rows = [(str(each.day), each.what, each.outcome) for each in story.events]
    print_table((">day", "what", "outcome"), rows, nothing="Nothing happened.")
    told = f"The campaign is {story.campaign}, the invoice {story.invoice}; the subscription {story.subscription}."
    console.print("\n" + told, markup=False)
