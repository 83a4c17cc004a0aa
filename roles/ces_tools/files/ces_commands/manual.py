# SPDX-License-Identifier: GPL-3.0-or-later
"""Man pages and shell completion, made from the table of commands."""

from __future__ import annotations

from ces.engines.table import NAMES

from ces_commands.verbs import OLD_NAMES, VERBS, Option, Verb

FILES = (
    ("/etc/ces/policy.json", "what this site allows"),
    ("~/.local/state/ces/runs/NUMBER/run.json", "the record of a run"),
    ("~/.local/state/ces/runs/NUMBER/output.log", "all that its container wrote"),
    ("~/outputs-NUMBER", "what was /safe_outputs"),
)


def generated(version: str) -> dict[str, str]:
    """Every generated file: its path below a prefix such as /usr/local, and its text."""
    pages = {
        f"share/man/man1/ces-{name}.1": man_page(verb, version) for name, verb in VERBS.items()
    }
    return {
        **pages,
        "share/man/man1/ces.1": overview_page(version),
        "share/bash-completion/completions/ces": bash_completion(),
    }


def man_page(verb: Verb, version: str) -> str:
    """A command's page, for man(7)."""
    program = f"ces-{verb.name}"
    runner = f"[{'|'.join(NAMES)}] " if verb.takes_runner else ""
    lines = [
        _title(program, version),
        ".SH NAME",
        f"{_plain(program)} \\- {_plain(verb.summary.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_plain(program)}",
        _plain(f"{runner}[OPTIONS] {verb.usage}".strip()),
        ".SH OPTIONS",
    ]
    for option in verb.options:
        lines += [".TP", _tag(option), _plain(_sentence(option.help))]
    if verb.statuses:
        lines += _list("EXIT STATUS", verb.statuses)
    lines += [*_list("FILES", FILES), ".SH SEE ALSO", _see_also(verb)]
    return "\n".join(lines) + "\n"


def overview_page(version: str) -> str:
    """The page of ``ces`` itself."""
    lines = [
        _title("ces", version),
        ".SH NAME",
        "ces \\- run containers on sensitive data",
        ".SH SYNOPSIS",
    ]
    lines += [".B ces", _plain("COMMAND [OPTIONS] ..."), ".SH COMMANDS"]
    for verb in VERBS.values():
        lines += [".TP", f".B {_plain(verb.name)}", _plain(verb.summary)]
    return "\n".join([*lines, *_list("FILES", FILES)]) + "\n"


def bash_completion() -> str:
    """One script for every name; options come from the table, images from ``ces-images``."""
    cases = []
    for name, verb in VERBS.items():
        words = " ".join(word for option in verb.options for word in option.names)
        runners = " ".join(NAMES) if verb.takes_runner else ""
        cases.append(f'        {name}) options="{words}" runners="{runners}" ;;')
    return _COMPLETION.format(
        cases="\n".join(cases),
        verbs=" ".join(VERBS),
        files="|".join(_taking("FILE")),
        directories="|".join(_taking("DIR")),
        old="\n".join(
            f"        {name}) verb={verb} ;;" for name, (verb, _runner) in OLD_NAMES.items()
        ),
        names=" ".join(["ces", *(f"ces-{name}" for name in VERBS), *OLD_NAMES]),
    )


def _taking(value: str) -> list[str]:
    """The options whose value the help calls so."""
    options = [option for verb in VERBS.values() for option in verb.options]
    return sorted({name for option in options if option.value == value for name in option.names})


_COMPLETION = """\
# bash completion of the ces commands; made from their table of options
_ces() {{
    local cur prev verb options runners
    cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
    case ${{COMP_WORDS[0]##*/}} in
        ces) verb=${{COMP_WORDS[1]}} ;;
{old}
        *) verb=${{COMP_WORDS[0]##*/}}; verb=${{verb#ces-}} ;;
    esac
    if [[ ${{COMP_WORDS[0]##*/}} == ces && $COMP_CWORD == 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "{verbs} --help --version" -- "$cur")
        return
    fi
    case $verb in
{cases}
        *) return ;;
    esac
    case $prev in
        {files}) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        {directories}) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    case $verb in
        run|gpu-run|check|rm)
            # a colon would split the image's name into words
            type __ltrim_colon_completions >/dev/null 2>&1 && _get_comp_words_by_ref -n : cur
            # compgen executes what is in words: of names, those that hold nothing for it
            runners="$runners $(ces-images 2>/dev/null | tail -n +2 | cut -d ' ' -f 1 |
                grep -x '[A-Za-z0-9._:@/-]*')"
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$runners" -- "$cur")
    type __ltrim_colon_completions >/dev/null 2>&1 && __ltrim_colon_completions "$cur"
}}
complete -o default -F _ces {names}
"""


def _title(program: str, version: str) -> str:
    return f'.TH "{program.upper()}" "1" "" "tre.ces {version}" "User Commands"'


def _list(title: str, rows: tuple[tuple[str, str], ...]) -> list[str]:
    lines = [f".SH {title}"]
    for left, right in rows:
        lines += [".TP", f".B {_plain(left)}", _plain(_sentence(right))]
    return lines


def _tag(option: Option) -> str:
    names = ", ".join(f"\\fB{_plain(name)}\\fR" for name in option.names)
    return names + (f" \\fI{_plain(option.value)}\\fR" if option.value else "")


def _see_also(verb: Verb) -> str:
    others = [f"\\fBces-{_plain(name)}\\fR(1)" for name in VERBS if name != verb.name]
    return ", ".join(["\\fBces\\fR(1)", *others])


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _plain(text: str) -> str:
    """Text that troff takes literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
