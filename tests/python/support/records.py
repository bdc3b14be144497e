"""What a record of a file is, told once more and in another way than the pipeline's: character by character.

RFC 4180 with a line feed as a line end too; blank lines are none; every record has as many fields as the header.
"""

from collections.abc import Iterator

WIDTH = 2


class Wrong(Exception):
    """A record is malformed."""


def records(text: str) -> Iterator[list[str]]:
    """The records of a text; raises Wrong at the first that is malformed."""
    text = text.removeprefix("\ufeff")
    place = 0
    while place < len(text):
        fields, place = record(text, place)
        if fields != [None]:
            fields = [field or "" for field in fields]
            if len(fields) != WIDTH:
                raise Wrong
            yield fields


def record(text: str, place: int) -> tuple[list[str | None], int]:
    """The fields of a record, one that nothing stands for as None, and where the next record begins."""
    fields: list[str | None] = []
    while True:
        value, place = quoted(text, place + 1) if text[place : place + 1] == '"' else plain(text, place)
        fields.append(value)
        if text[place : place + 1] == ",":
            place += 1
        elif text[place : place + 2] == "\r\n":
            return fields, place + 2
        elif text[place : place + 1] == "\n":
            return fields, place + 1
        elif place == len(text):
            return fields, place
        else:
            raise Wrong


def quoted(text: str, place: int) -> tuple[str, int]:
    value = ""
    while place < len(text):
        if text[place] != '"':
            value, place = value + text[place], place + 1
        elif text[place : place + 2] == '""':
            value, place = value + '"', place + 2
        else:
            return value, place + 1
    raise Wrong


def plain(text: str, place: int) -> tuple[str | None, int]:
    value = ""
    while place < len(text) and text[place] not in ',"\r\n':
        value, place = value + text[place], place + 1
    return value or None, place


def verdict(text: str) -> tuple[list[list[str]] | None, int | None]:
    """The rows of a text below its header, or None and the number of the record that is wrong."""
    rows: list[list[str]] = []
    try:
        rows.extend(records(text))
    except Wrong:
        return None, len(rows_before(text)) + 1
    return rows[1:], None


def rows_before(text: str) -> list[list[str]]:
    """The records before the first that is malformed."""
    rows = []
    try:
        for one in records(text):
            rows.append(one)
    except Wrong:
        pass
    return rows


HEAD = "key,name\n"
# What people who do this job have met; each is wrong in the record named, or good.
CASES = {
    "plain": (HEAD + "1,a\n2,b\n", None),
    "no newline at the end": (HEAD + "1,a\n2,b", None),
    "header alone, without a newline": ("key,name", None),
    "CRLF": ("key,name\r\n1,a\r\n2,b\r\n", None),
    "LF and CRLF": (HEAD + "1,a\r\n2,b\n3,c\r\n", None),
    "CRLF, LF in quotes": ('key,name\r\n1,"a\nb"\r\n2,c\r\n', None),
    "LF, CRLF in quotes": (HEAD + '1,"a\r\nb"\n2,c\n', None),
    "CR alone": ("key,name\r1,a\r2,b\r", 1),
    "a CR alone in the middle": (HEAD + "1,a\n2,b\r3,c\n4,d\n", 3),
    "a CR alone at the end": (HEAD + "1,a\n2,b\r", 3),
    "two CR and a LF": (HEAD + "1,a\r\r\n2,b\n", 2),
    "CR in quotes": (HEAD + '1,"a\rb"\n', None),
    "blank lines": (HEAD + "\n1,a\n\n\n\n2,b\n\n", None),
    "blank lines with CRLF": ("key,name\r\n\r\n1,a\r\n\r\n2,b\r\n\r\n", None),
    "a bad record after blank lines": (HEAD + "\n\n1,a\n\n\n2\n", 3),
    "a line of a blank": (HEAD + "1,a\n \n2,b\n", 3),
    "a line of two quotes": (HEAD + '1,a\n""\n2,b\n', 3),
    "BOM": ("\ufeff" + HEAD + "1,a\n", None),
    "BOM and a quoted header": ('\ufeff"key","name"\n1,a\n', None),
    "BOM and a bad record": ('\ufeff"key","name"\n1,a\n2,b,c\n', 3),
    "a BOM in the middle": (HEAD + "\ufeff1,a\n2,b\n", None),
    "a BOM before a quote in the middle": (HEAD + '\ufeff"1",a\n2,b\n', 2),
    "all quoted": ('"key","name"\n"1","a"\n"","b"\n', None),
    "a quoted field that is empty and last": (HEAD + '1,""\n2,b\n', None),
    "a field too many": (HEAD + "1,a\n2,b,c\n", 3),
    "an empty field too many": (HEAD + "1,a\n2,b,\n", 3),
    "many empty fields too many": (HEAD + "1,a\n2,b,,,,\n", 3),
    "a quoted empty field too many": (HEAD + '1,a\n2,b,""\n', 3),
    "quoted empty fields too many, at the end": (HEAD + '1,a\n2,b,"",""', 3),
    "an empty field too many in each record": (HEAD + "1,a,\n2,b,\n", 2),
    "an empty field too many with CRLF": ('key,name\r\n1,a\r\n2,b,""\r\n', 3),
    "an empty field too many and a blank line": (HEAD + "1,a\n\n2,b,\n", 3),
    "one field too many, one too few": (HEAD + "1,a,\n2\n", 2),
    "a field too few": (HEAD + "1,a\n2\n", 3),
    "a comma alone": (HEAD + ",\n1,a\n", None),
    "a blank before a quote": (HEAD + '1,a\n2, "b"\n', 3),
    "a blank before a quote, and a comma in it": (HEAD + '1,a\n2, "b, c"\n', 3),
    "a blank before a quote that begins a record": (HEAD + ' "1",a\n', 2),
    "a blank after a quote": (HEAD + '1,a\n"2" ,b\n', 3),
    "a blank after a quote at the end": (HEAD + '1,a\n2,"b" \n', 3),
    "a tab after a quote": (HEAD + '1,a\n"2"\t,b\n', 3),
    "a letter after a quote": (HEAD + '1,a\n"2"x,b\n', 3),
    "quotes in the middle": (HEAD + '1,a\n2,5"6" b\n', 3),
    "doubled quotes in the middle": (HEAD + '1,a\n2,b""\n', 3),
    "quotes in the middle of a number": (HEAD + '1,a\n2"",b\n', 3),
    "one quote in the middle": (HEAD + '1,a\n2,5" pipe\n3,c\n', 3),
    "one quote each in the middle of two": (HEAD + '1,5" pipe\n2,6" pipe\n', 2),
    "doubled quotes": (HEAD + '1,"a ""b"" c"\n2,""""\n3,""""""\n', None),
    "commas and quotes in quotes": (HEAD + '1,"a, ""b"", "\n2," "","" "\n', None),
    "an unclosed quote": (HEAD + '1,a\n2,"b\n3,c\n', 3),
    "an unclosed quote after quoted newlines": (HEAD + '1,"a\n\nb"\n2,"b\n3,c\n', 3),
    "a bad record after quoted newlines": (HEAD + '1,"a\n\nb"\n2,b,c\n3,c\n', 3),
    "quotes that span two bad records": (HEAD + '1, "a\n2,b"\n', 2),
    "two that are wrong": (HEAD + '1,a\n2\n3,b"\n', 3),
    "two that are wrong, the other way": (HEAD + '1,a\n2,"b"c\n3\n', 3),
    "a backslash is a letter": (HEAD + '1,"a\\"\n2,\\\n', None),
}
