"""The words of a feed, and its key."""

from __future__ import annotations

from orchestration.contracts.contract import Contract
from orchestration.contracts.reading import within
from orchestration.contracts.words import BESIDE_A_KEY, FEED_WORDS, MESSAGE, NAME, NAMES, TEXT, reserved_words


def check(contract: Contract) -> None:
    """Tells what is wrong with them."""
    _words(contract)
    _key(contract)


def _words(contract: Contract) -> None:
    feed = contract.feed
    if not NAME.fullmatch(contract.name):
        contract.fault(contract.line("name"), f"{contract.name!r} cannot be the name of a feed. Use {NAMES}.")
    elif contract.name in reserved_words():
        what = f"The feed {contract.name} is a word of SQL. Choose another name, for example {contract.name}_rows."
        contract.fault(contract.line("name"), what)
    for word in feed.keys() - set(FEED_WORDS):
        contract.fault(contract.line(word), f"A feed has no {word}. What it may have: {', '.join(FEED_WORDS)}.")
    for word, known in (("kind", ("changes", "extract")), ("files", ("daily", "hourly", "topics"))):
        if feed.get(word, known[0]) not in known:
            what = f"The {word} {feed[word]} of the feed {contract.name} is unknown. Use {' or '.join(known)}."
            contract.fault(contract.line(word), what)
    if "shrinks_by" in feed:
        share = feed["shrinks_by"]
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            contract.fault(contract.line("shrinks_by"), f"shrinks_by is {share}. It is a share: above 0 and below 1.")
        if feed.get("kind") != "extract":
            what = "shrinks_by is for an extract only. Add `kind: extract`, or remove shrinks_by."
            contract.fault(contract.line("shrinks_by"), what)
    if not isinstance(feed.get("judged", True), bool):
        contract.fault(contract.line("judged"), f"judged is {feed['judged']!r}. It is true or false, without quotes.")
    _order(contract)
    if "fresh" in feed:
        fresh, line = feed["fresh"], contract.line("fresh")
        column, days = (fresh.get("column"), fresh.get("days")) if isinstance(fresh, dict) else (None, None)
        if not isinstance(column, str) or column not in contract.columns:
            contract.fault(line, f"fresh needs a column of the contract; {column} is none.")
        elif contract.type(column) != "timestamp":
            contract.fault(line, f"fresh needs a timestamp; the column {column} is {contract.type(column)}.")
        if isinstance(days, bool) or not isinstance(days, int) or not 0 < days <= 36500:
            contract.fault(line, f"fresh needs `days`, a whole number from 1; it is {days}.")
        for word in fresh.keys() - {"column", "days"} if isinstance(fresh, dict) else ():
            contract.fault(line, f"fresh has no {word}. What it has: column, days.")


def _order(contract: Contract) -> None:
    """Which copy of a key stays, and the time within which copies are looked for."""
    feed = contract.feed
    if "first_by" in feed:
        columns, line = feed["first_by"], contract.line("first_by")
        if not isinstance(columns, list) or not columns:
            contract.fault(line, "first_by is no list of columns. Name those by which the first copy of a key stays.")
            columns = []
        for name in columns:
            if not isinstance(name, str) or name not in contract.columns:
                contract.fault(line, f"first_by names {name}, which is not a column of the contract.")
            elif name not in MESSAGE and within(contract.columns[name], "config", "meta").get("required") is not True:
                what = f"The column {name} is of first_by and not required. Add `required: true`: an order needs it."
                contract.fault(contract.columns[name].line, what)
    if "within" in feed and (
        not isinstance(feed["within"], str)
        or feed["within"] not in contract.columns
        or contract.type(feed["within"]) != "timestamp"
    ):
        contract.fault(contract.line("within"), f"within is {feed['within']}. It names a timestamp of the contract.")


def _key(contract: Contract) -> None:
    key, line = contract.feed.get("key"), contract.line("key")
    if not isinstance(key, list) or not key:
        contract.fault(line, f"The feed {contract.name} has no key. Add `key: [...]`, the columns that name one row.")
        return
    if len({str(name) for name in key}) < len(key):
        contract.fault(line, f"The key of the feed {contract.name} names a column twice. Remove one of the two.")
    for name in key:
        if not isinstance(name, str) or name not in contract.columns:
            contract.fault(line, f"The key {name} is not a column of the contract.")
            continue
        if within(contract.columns[name], "config", "meta").get("required") is not True:
            what = f"The column {name} is of the key and not required. Add `required: true`: a row needs its key."
            contract.fault(contract.columns[name].line, what)
        if name in BESIDE_A_KEY:
            what = f"The key {name} has a name that the merge uses itself. Choose another, for example {name}_value."
            contract.fault(contract.columns[name].line, what)
        # The merge finds a key's rows by ranges of its characters.
        if contract.type(name) not in TEXT:
            what = f"The column {name} is of the key and {contract.type(name)}. Make it varchar: a key is a name."
            contract.fault(contract.columns[name].line, what)
