# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What the scripts of a session share. It is sourced by before.sh, script.sh and after.sh, in the session's directory:
#
#     ces_script=before.sh
#     . ./ces/steps.sh
#
# before.sh and after.sh are sourced by the portal's job script, so all names here begin with ces_.

ces_root=$PWD
# jobs are submitted without an environment
export PATH="${PATH:-/usr/bin:/bin}:/usr/local/bin"
export SLURM_EXPORT_ENV=ALL

# ces_say TEXT... : a dated line of the log.
ces_say() {
    printf '%s %s: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "${ces_script:-script.sh}" "$*"
    # of this shell, not of the one that reads the link
    ces_log=$(readlink "/proc/$$/fd/1")
    ces_log_size=$(stat -c %s -- "$ces_log" 2>/dev/null || echo 0)
}

# ces_note KEY TEXT... : remembered for the card of the session; a later one wins.
ces_note() {
    local key=$1 text
    shift
    text=$(tr -s '\000-\040\177' ' ' <<<"$*")
    (umask 077 && printf '%s %s\n' "$key" "${text% }" >>"$ces_root/progress")
}

# ces_step NAME TEXT... : what begins now. A job that ends without a word ended there.
ces_step() {
    ces_note step "$1"
    shift
    ces_say "$*"
}

# ces_said : what programs wrote into the log since our last line; of our commands the last complaint, as one sentence.
ces_said() { [[ ! -f $ces_log ]] || tail -c "+$((ces_log_size + 1))" -- "$ces_log" | awk "$ces_sentence" | tail -c 1500; }
# shellcheck disable=SC2016  # a program of awk
ces_sentence='
    function capital(word) { return toupper(substr(word, 1, 1)) substr(word, 2) }
    sub(/^ces-[a-z]+: /, "") { text = capital($0); next }
    sub(/^  answer: /, "")   { text = text ": " $0; next }
    sub(/^  to do: +/, "")   { sub(/[.]$/, "", text); text = text ". " capital($0) "."; next }
    /^  ran: /               { next }
                             { text = text (text == "" ? "" : "\n") $0 }
    END                      { sub(/[.]+$/, ".", text); print text }
'

# ces_ended STATE STATUS [REASON...] : how the step that is being done ended.
ces_ended() {
    local state=$1 status=$2
    shift 2
    ces_note rc "$status"
    ces_note reason "$*"
    ces_note state "$state"
}

# ces_as_typed WORD... : an argument list as one could type it.
ces_as_typed() {
    local line
    printf -v line ' %q' "$@"
    printf '%s' "${line# }"
}

# ces_at_end COMMAND : run when this script ends, however it ends short of SIGKILL; the last one given is run first.
# Bash hears that it is to end when the program that runs has ended, which has then cleared away after itself.
ces_at_end() {
    ces_endings="$1${ces_endings:+; $ces_endings}"
    # shellcheck disable=SC2064  # as it is now
    trap "$ces_endings" EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    trap 'exit 129' HUP
}

# ces_follow COMMAND... : run a program and tell it to end when this script is told to. Slurm may tell the script alone,
# and bash would hear of it only after the program.
ces_follow() {
    local before heard='' status
    before=$(trap -p TERM INT HUP)
    "$@" &
    ces_followed=$!
    trap 'heard=TERM; kill -TERM "$ces_followed" 2>/dev/null' TERM INT HUP
    while
        wait "$ces_followed"
        status=$?
        ((status > 128)) && kill -0 "$ces_followed" 2>/dev/null
    do :; done
    trap - TERM INT HUP
    eval "$before"
    if [[ -n $heard ]]; then kill -TERM $$; fi
    return "$status"
}

# ces_outlive : for before.sh. The portal's job script would end at once when Slurm says so, and what it started with it.
# Slurm may tell the job script alone: it passes that on to script.sh, and waits for it.
ces_outlive() { trap ces_end_script TERM; }
ces_end_script() {
    if [[ -z ${SCRIPT_PID:-} ]]; then return; fi
    kill -TERM "$SCRIPT_PID" 2>/dev/null
    while kill -0 "$SCRIPT_PID" 2>/dev/null; do sleep 0.1; done
}
