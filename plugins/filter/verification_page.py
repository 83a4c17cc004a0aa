# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a verification as one page of HTML, which loads nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
name: verification_page
short_description: The report of a verification as one page of HTML
version_added: 0.2.0
author: The tre.ces contributors (@tre-ces)
description:
  - The page is one file without scripts, and a browser loads nothing for it. What hosts and users
    said is text in it, whatever characters it has.
options:
  _input:
    description: What P(tre.ces.verification#filter) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write the page
  ansible.builtin.copy:
    content: "{{ report | tre.ces.verification_page }}"
    dest: /srv/reports/verification.html
    mode: "0640"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from typing import Any

from ansible_collections.tre.ces.plugins.module_utils.ces.shown import shown

STYLE = """
:root { --ink: #1c2530; --soft: #5b6673; --line: #d9dfe5; --paper: #fff; --good: #14703d;
  --good-paper: #e5f4ea; --open: #7a5200; --open-paper: #fdf3dc; --bad: #a3161a;
  --bad-paper: #fbe6e6; }
* { box-sizing: border-box; }
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif;
  max-width: 1180px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 36px 0 8px; }
h3 { font-size: 16px; margin: 24px 0 6px; }
p { margin: 4px 0; } .soft { color: var(--soft); }
.verdict { border-radius: 8px; padding: 14px 18px; margin: 18px 0; font-size: 17px; }
.count { display: inline-block; margin-right: 22px; }
.count b { font-size: 24px; margin-right: 6px; }
.proved { color: var(--good); background: var(--good-paper); }
.open { color: var(--open); background: var(--open-paper); }
.failed { color: var(--bad); background: var(--bad-paper); }
.plain { background: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: 5px 9px; border: 1px solid var(--line); }
th { font-weight: 600; background: rgba(128, 140, 155, .12); }
td.mark { text-align: center; padding: 5px 4px; }
th.mark { font-size: 13px; padding: 5px 4px; text-align: center; vertical-align: bottom; }
code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; }
details { margin: 10px 0; } summary { cursor: pointer; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 8px 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #9aa7b4; --line: #3a4652;
  --paper: #14191f; --good: #7fd8a3; --good-paper: #12301f; --open: #f0c96b; --open-paper: #352a10;
  --bad: #ff9a9a; --bad-paper: #3d1618; } }
@media print { body { max-width: none; padding: 0; } details > * { display: block; } }
"""
CLASSES = {"proved": "proved", "not proved": "open", "failed": "failed"}
VERDICTS = {
    "failed": "Something failed. What it is, and who mends it, is below.",
    "proved": "Nothing failed. What was not proved is listed as such.",
    "not proved": "Nothing was proved. Why is below.",
}
LEVELS = {"ok": "proved", "note": "plain", "warning": "open", "fault": "failed"}
MARKS = {"proved": "✓", "not proved": "", "failed": "✗"}
"""Before the word, for who cannot tell colours apart."""
ABOUT = ("user", "engine", "place")
Proofs = Sequence[dict[str, Any]]


def verification_page(report: dict[str, Any]) -> str:
    """The whole page."""
    body = "\n".join([*_head(report), *(part for host in report["hosts"] for part in _of(host))])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">\n"
        f"<title>Verification of back-ends</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _head(report: dict[str, Any]) -> Iterator[str]:
    failures, counts = len(report["failures"]), report["counts"]
    yield "<h1>Verification of back-ends</h1>"
    made, version = _text(report["made"]), _text(report["collection"])
    yield f'<p class="soft">Made {made} by tre.ces {version}</p>'
    outcome = "failed" if failures else "proved" if counts["proved"] else "not proved"
    yield f'<div class="verdict {CLASSES[outcome]}"><b>{VERDICTS[outcome]}</b></div>'
    yield "<p>" + "".join(_count(counts[name], name) for name in CLASSES) + "</p>"
    rows = [
        (
            _link(host["name"]),
            _text(host["state"]),
            *(_text(host.get("counts", {}).get(name, "")) for name in CLASSES),
        )
        for host in report["hosts"]
    ]
    yield _table(("host", "state", *CLASSES), rows)
    if failures:
        yield "<h2>What failed</h2>"
        yield "<ul>" + "".join(f"<li>{_text(one)}</li>" for one in report["failures"]) + "</ul>"


def _of(host: dict[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{_text(host["name"])}">{_text(host["name"])}</h2>'
    if host["state"] != "verified":
        yield f'<div class="verdict failed">{_text(host["state"])}: {_text(host["said"])}</div>'
        return
    yield _facts(host)
    proofs = host["proofs"]
    of_containers = [one for one in proofs if one["engine"] and one["user"] and not one["place"]]
    yield from _matrix(of_containers)
    others = [one for one in proofs if one not in of_containers]
    yield from _listed("What failed", [one for one in proofs if one["outcome"] == "failed"])
    yield from _listed("What was not proved", [o for o in proofs if o["outcome"] == "not proved"])
    yield from _listed("Registry and jobs", [one for one in others if one["outcome"] == "proved"])
    yield from _doctor(host["findings"])
    rows = [_row(one) for one in proofs]
    yield "<details><summary>Everything that was looked at</summary>"
    yield f"{_table(('what', 'outcome', *ABOUT, 'what was seen'), rows)}</details>"


def _facts(host: dict[str, Any]) -> str:
    chosen = ", ".join(host["chosen"])
    people = (
        f"all {host['people']}: {chosen}"
        if len(host["chosen"]) == host["people"]
        else f"{len(host['chosen'])} of {host['people']}, evenly spaced by name: {chosen}"
    )
    facts = {
        "host's own name": host["host"],
        "began": host["began"],
        "ended": host["ended"],
        "users": people,
        "engines": ", ".join(host["engines"]),
        "policy": f"{host['policy']['file']}, SHA-256 {host['policy']['sha256']}",
        **host["versions"],
    }
    items = "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in facts.items())
    return f"<dl>{items}</dl>"


def _matrix(proofs: Proofs) -> Iterator[str]:
    """A row for each user and engine, a column for each thing; the worst outcome is shown."""
    if not proofs:
        return
    names = list(dict.fromkeys(one["what"] for one in proofs))
    cells: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    order = list(CLASSES)
    for one in proofs:
        row = cells.setdefault((one["user"], one["engine"]), {})
        before = row.get(one["what"])
        if before is None or order.index(one["outcome"]) > order.index(before["outcome"]):
            row[one["what"]] = one
    yield "<h3>Containers of users</h3>"
    yield '<div class="wide"><table><thead><tr><th>user</th><th>engine</th>'
    # a browser breaks a line at a space alone
    words = [_text(name.replace("_", " ")) for name in names]
    yield "".join(f'<th class="mark">{word}</th>' for word in words) + "</tr></thead><tbody>"
    for (user, engine), row in cells.items():
        marks = "".join(_mark(row.get(name)) for name in names)
        yield f"<tr><td>{_text(user)}</td><td>{_text(engine)}</td>{marks}</tr>"
    yield "</tbody></table></div>"
    limits = _alike([one for one in proofs if one["what"] == "limits"])
    rows = [(_text(said), _text(abouts)) for (_what, _outcome, said, _cure), abouts in limits]
    if rows:
        yield "<h3>Limits, seen from inside</h3>" + _table(("limits", "of"), rows)


def _mark(proof: dict[str, Any] | None) -> str:
    if proof is None:
        return '<td class="mark"></td>'
    outcome = proof["outcome"]
    said = _text(proof["said"])
    return f'<td class="mark {CLASSES[outcome]}" title="{said}">{MARKS[outcome]} {outcome}</td>'


def _listed(title: str, proofs: Proofs) -> Iterator[str]:
    """What is the same for several users is told once."""
    if not proofs:
        return
    rows = [
        (
            _text(what),
            _text(abouts),
            f'<span class="{CLASSES[outcome]} plain">{_text(said)}</span>',
            _text(cure),
        )
        for (what, outcome, said, cure), abouts in _alike(proofs)
    ]
    yield f"<h3>{title}</h3>"
    yield _table(("what", "of", "what was seen", "who mends it, and how"), rows)


def _alike(proofs: Proofs) -> Iterator[tuple[tuple[str, str, str, str], str]]:
    """What was told, and of whom and what it was told in the same words."""
    told: dict[tuple[str, str, str, str], list[str]] = {}
    for one in proofs:
        key = (one["what"], one["outcome"], one["said"], one["cure"])
        about = ", ".join(filter(None, (one[part] for part in ABOUT))) or "the host"
        told.setdefault(key, []).append(about)
    for key, abouts in told.items():
        yield key, "; ".join(abouts)


def _doctor(findings: Proofs) -> Iterator[str]:
    """The findings of ces-doctor, those that are well out of the way."""
    rows = [
        (
            _text(one["check"]),
            _text(one["user"] or "the host"),
            f'<span class="{LEVELS[one["level"]]}">{_text(one["level"])}</span>',
            _text(one["said"]),
            _text(f"{one['cure']} (role {one['role']})" if one["role"] else one["cure"]),
        )
        for one in findings
        if one["level"] != "ok"
    ]
    well = [(_text(o["check"]), _text(o["said"])) for o in findings if o["level"] == "ok"]
    yield "<h3>What ces-doctor finds</h3>"
    head = ("check", "of", "level", "what was found", "who mends it, and how")
    yield _table(head, rows) if rows else "<p>All is well.</p>"
    if well:
        yield f"<details><summary>{len(well)} checks that are well</summary>"
        yield f"{_table(('check', 'what was found'), well)}</details>"


def _row(proof: dict[str, Any]) -> tuple[str, ...]:
    outcome = proof["outcome"]
    return (
        _text(proof["what"]),
        f'<span class="{CLASSES[outcome]}">{_text(outcome)}</span>',
        *(_text(proof[part]) for part in ABOUT),
        _text(proof["said"]),
    )


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """
    :param rows: cells that are HTML already.
    """
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>\n{lines}</tbody></table></div>"
    )


def _count(number: int, name: str) -> str:
    return f'<span class="count {CLASSES[name]} plain"><b>{number}</b>{_text(name)}</span>'


def _link(name: str) -> str:
    return f'<a href="#{_text(name)}">{_text(name)}</a>'


def _text(value: object) -> str:
    return escape(shown(str(value)))


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"verification_page": verification_page}
