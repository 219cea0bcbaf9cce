"""Write data/tickets.train.jsonl and data/tickets.eval.jsonl: invented support tickets.

    python make_data.py [FOLDER]

The two files share labels and nothing else: sentences, products, people's words and asides of the
eval rows occur in no training row, so memorised templates do not help. Most tickets carry an aside
that talks of another label's subject, so no single word decides. The seed is fixed: the same
files every time.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SEED = 20261124
TRAIN_ROWS, EVAL_ROWS = 480, 120
# Uneven, as tickets are. The first is what a lazy classifier would always answer.
SHARES = {"billing": 0.35, "bug": 0.25, "login": 0.18, "how-to": 0.12, "cancel": 0.10}


@dataclass(frozen=True)
class Split:
    """What the tickets of one file are made of."""

    core: Mapping[str, Sequence[str]]  # label → sentences that carry it
    asides: Mapping[str, Sequence[str]]  # label → sentences of its subject that ask for nothing
    words: Mapping[str, Sequence[str]]  # slot → what may stand in it
    openers: Sequence[str]
    closers: Sequence[str]


TRAIN = Split(
    core={
        "billing": [
            "My card was charged twice for {product} in {month}.",
            "The invoice for {product} lists {count} seats but we only use half of them.",
            "Why did the price of {product} go up without any notice?",
            "I still have not received the refund that was promised for {month}.",
            "There is a payment on my statement that I do not recognise.",
            "The discount code was accepted but the full amount was taken anyway.",
            "Please send a corrected receipt with our tax number for {month}.",
            "We paid for a whole year and were then billed again for {month}.",
            "The total on the last bill does not match the quote from your sales team.",
            "You took money from the wrong bank account for {product}.",
        ],
        "bug": [
            "{product} crashes as soon as I open a {file}.",
            "The {file} comes out empty although the preview looks fine.",
            "Since the update the {screen} stays blank.",
            "Numbers on the {screen} are wrong: they do not add up.",
            "Clicking save in {product} does nothing at all.",
            "Search returns the same {file} {count} times.",
            "The {screen} freezes for minutes whenever someone adds a comment.",
            "Dates in the {file} are shifted by one day.",
            "I get error {count} whenever the {screen} is loaded.",
            "Attachments disappear from {product} after a few seconds.",
        ],
        "login": [
            "The password reset mail for {product} never arrives.",
            "I am locked out after too many wrong attempts.",
            "The code from my phone is rejected every time I sign in.",
            "{product} says that my user name does not exist.",
            "A colleague cannot get into our workspace with her company address.",
            "It logs me out every few minutes and asks for my credentials again.",
            "I lost the phone with the authenticator and cannot get in any more.",
            "The sign-in page of {product} sends me back to itself for ever.",
            "My access was blocked and nobody tells me why.",
            "The single sign-on button answers that I am not authorised.",
        ],
        "how-to": [
            "How do I share a {file} with people outside of the team?",
            "Is there a way to sort the {screen} by owner?",
            "Where can I find the setting for the time zone in {product}?",
            "Can you explain how to import a {file} from a spreadsheet?",
            "What is the right way to set up a weekly {file}?",
            "I would like to learn how to make my own view of the {screen}.",
            "Which menu do I use to merge two projects in {product}?",
            "Could someone show me how to put {count} people into a group?",
            "What do I have to do to get {product} in another language?",
            "Is it possible to print the {screen}, and how?",
        ],
        "cancel": [
            "Please end our subscription to {product} after {month}.",
            "We no longer need {product} and want to leave.",
            "I want to close my account and have all data deleted.",
            "Do not renew the contract for {product} next {month}.",
            "We have moved to another tool, so please stop the plan.",
            "How can I get rid of {product}? We will not go on with it.",
            "Take me back to the free tier, I am done with the paid one.",
            "Our company is closing, so switch off everything at the end of {month}.",
            "I only wanted the trial; do not continue it.",
            "Kindly terminate the agreement that we signed in {month}.",
        ],
    },
    asides={
        "billing": [
            "We paid the invoice last week.",
            "Our accountant is copied on this mail.",
            "I upgraded to the bigger plan in {month}.",
        ],
        "bug": [
            "The crash from {month} is solved, thanks.",
            "I read about the error with the {screen}, but that is not it.",
            "The update went through without trouble.",
        ],
        "login": [
            "I signed in from my phone just now.",
            "My password was changed in {month}.",
            "All {count} users can get in.",
        ],
        "how-to": [
            "I did find the menu that your guide describes.",
            "A colleague showed me how to share a {file}.",
            "I know where the settings are.",
        ],
        "cancel": [
            "We nearly left last year, but stayed.",
            "Our contract runs for another year.",
            "We do not want to end the plan.",
        ],
    },
    words={
        "product": ["Taskboard", "Inkwell", "the mobile app", "the desktop client", "Plannerly"],
        "month": ["January", "March", "April", "June", "September"],
        "count": ["3", "7", "12", "40", "250"],
        "file": ["report", "PDF", "spreadsheet", "chart", "task list"],
        "screen": ["dashboard", "calendar", "timeline", "inbox", "overview page"],
    },
    openers=["Hello,", "Hi team,", "Good morning,", "Dear support,", "Hi there,"],
    closers=["Thanks!", "Please answer soon.", "Best regards", "Thank you for your help.", ""],
)

EVAL = Split(
    core={
        "billing": [
            "I see two identical debits from {product} on the same day.",
            "Somebody invoiced us for {count} licences that were never ordered.",
            "Could you return the sum that was withdrawn by mistake in {month}?",
            "The amount due is higher than what your website advertises.",
            "Our finance department needs the {month} bill with the right address on it.",
            "The voucher took nothing off the price at checkout.",
            "Overcharged again: this is the second time in {month}.",
            "My credit from the returned order has not shown up on any statement.",
        ],
        "bug": [
            "Whenever a {file} is uploaded, {product} quits without a message.",
            "Half of the rows in the {screen} are missing since yesterday.",
            "The undo button destroys the whole {file}.",
            "{product} hangs at {count} percent and never finishes.",
            "The {screen} shows somebody else's data after a refresh.",
            "Notifications are delivered hours late or not at all.",
            "Accented letters turn into question marks in the {file}.",
            "Scrolling through the {screen} makes the whole window flicker.",
        ],
        "login": [
            "The recovery link has expired before I can click on it.",
            "{product} does not accept my passphrase any longer.",
            "Two-factor verification fails with each text message.",
            "I am unable to enter my profile from the new laptop.",
            "New employees get an access denied page from {product}.",
            "It keeps telling me that the session is invalid and throws me out.",
            "My e-mail address changed and now I cannot authenticate.",
            "Captcha after captcha, and I am still not let in.",
        ],
        "how-to": [
            "What steps are needed to give a guest a look at the {screen}?",
            "I am searching for the option that hides finished entries.",
            "Does {product} let me schedule a {file} for Mondays, and where?",
            "Please point me to instructions for connecting {product} to our chat.",
            "How would one rename {count} items in one go?",
            "A short explanation of filters in the {screen} would be great.",
            "Can I change the colours of a {file}, and in which dialog?",
            "What is the best method to archive an old {file}?",
        ],
        "cancel": [
            "We decided against {product}; make {month} our last month.",
            "Remove our organisation and wipe everything that you store.",
            "Please discontinue the service, we are switching to a competitor.",
            "I do not wish to be a customer beyond {month}.",
            "Let the membership run out, we will not extend it.",
            "Kill the premium package, nobody here opens it.",
            "Consider this our notice for {product}.",
            "Unsubscribe the whole team for good.",
        ],
    },
    asides={
        "billing": [
            "The transfer for {month} is on its way.",
            "Costs are fine for us, by the way.",
            "We are on the enterprise tariff.",
        ],
        "bug": [
            "The glitch that I mentioned in {month} is gone.",
            "Nothing is broken otherwise.",
            "The new release feels stable.",
        ],
        "login": [
            "I can reach my profile as usual.",
            "Our administrator handed out fresh passphrases in {month}.",
            "Verification by text message works for me.",
        ],
        "how-to": [
            "The tutorial video was useful.",
            "I am aware of the filters.",
            "Your handbook covers {count} such topics.",
        ],
        "cancel": [
            "A competitor made us an offer, which we declined.",
            "We extended our membership in {month}.",
            "Nobody here thinks of quitting the service.",
        ],
    },
    words={
        "product": ["Ledgerline", "the browser extension", "Roomfinder", "your tablet version"],
        "month": ["February", "May", "October", "December"],
        "count": ["5", "9", "60", "99"],
        "file": ["slide deck", "form", "backup", "contract draft"],
        "screen": ["kanban view", "statistics tab", "contact list", "map"],
    },
    openers=["Greetings,", "To whom it may concern,", "Hey,", "Good evening,"],
    closers=["Cheers", "Looking forward to a reply.", "Sincerely", ""],
)


def make_rows(split: Split, rows: int, rng: random.Random) -> list[dict[str, str]]:
    """Distinct tickets in random order, labels in the shares of SHARES."""
    made: dict[str, str] = {}
    for label, share in SHARES.items():
        wanted = len(made) + round(rows * share)
        while len(made) < wanted:
            made.setdefault(_ticket(split, label, rng), label)
    tickets = [{"text": text, "label": label} for text, label in made.items()]
    rng.shuffle(tickets)
    return tickets


def _ticket(split: Split, label: str, rng: random.Random) -> str:
    sentences = [rng.choice(split.core[label])]
    if rng.random() < 0.6:
        other = rng.choice([name for name in SHARES if name != label])
        sentences.insert(rng.randrange(2), rng.choice(split.asides[other]))
    if rng.random() < 0.5:
        sentences.insert(0, rng.choice(split.openers))
    sentences.append(rng.choice(split.closers))
    words = {slot: rng.choice(choices) for slot, choices in split.words.items()}
    text = " ".join(sentence for sentence in sentences if sentence).format(**words)
    return text[0].upper() + text[1:]


def write(folder: Path) -> None:
    """Both files, one JSON object a line."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    for name, split, rows in (("train", TRAIN, TRAIN_ROWS), ("eval", EVAL, EVAL_ROWS)):
        lines = [json.dumps(row) + "\n" for row in make_rows(split, rows, rng)]
        (folder / f"tickets.{name}.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
