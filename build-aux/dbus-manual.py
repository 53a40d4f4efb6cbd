#!/usr/bin/env python3
"""Writes wireloom-dbus(7): the interfaces of the D-Bus contract put into the text around them.

dbus-manual.py TEXT XML...  prints scdoc; the XML with its comments is the only place where members are described.
"""

import sys
import xml.etree.ElementTree as ElementTree

CHANGES = {"false": "polled", "const": "constant", "invalidates": "invalidated"}


def escaped(text):
    """One paragraph, every character of which means itself."""
    for special in "\\*_":
        text = text.replace(special, "\\" + special)
    return " ".join(text.split()).replace("~", "\\~")


def property_line(member):
    marks = [] if member.get("access") == "read" else ["can be set"]
    for annotation in member.iter("annotation"):
        marks.append(CHANGES.get(annotation.get("value"), ""))
    return escaped(member.get("type")) + "".join(f", {mark}" for mark in marks if mark)


def arguments_line(member):
    if member.tag == "signal":
        arguments = [("", argument) for argument in member.iter("arg")]
    else:
        arguments = [("→ " if argument.get("direction") == "out" else "", argument) for argument in member.iter("arg")]
    shown = [f"{arrow}{argument.get('type')} {argument.get('name')}" for arrow, argument in arguments]
    return escaped("(" + ", ".join(shown).replace(", →", " →") + ")")


def paragraphs(comment):
    """A comment as paragraphs; each option in a list of them is one, and so is what has a name in front."""
    found, in_options = [[]], False
    for line in comment.splitlines():
        text = line.strip()
        starts = text.startswith(("name:", "channels:", "options:", "stream:", "job:", "Errors:"))
        in_options = text.startswith("options:") or (in_options and not starts)
        if not text or starts or (in_options and text.startswith('"')):
            found.append([])
        found[-1].append(text)
    return [escaped(" ".join(lines)) for lines in found if any(lines)]


def interface(path):
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    found = ElementTree.parse(path, parser).getroot().find("interface")
    yield f"## {found.get('name')}\n"
    comment = []
    for member in found:
        if member.tag is ElementTree.Comment:
            comment = paragraphs(member.text)
            continue
        shown = property_line(member) if member.tag == "property" else arguments_line(member)
        kind = "" if member.tag == "property" else f"{member.tag} "
        described = "\n\n".join(f"\t{paragraph}" for paragraph in comment)
        yield f"{kind}*{escaped(member.get('name'))}* {shown}\n{described}\n"
        comment = []


def main():
    text, *contract = sys.argv[1:]
    sections = "\n".join(line for path in contract for line in interface(path))
    with open(text, encoding="utf-8") as file:
        sys.stdout.write(file.read().replace("@INTERFACES@", sections))


main()
