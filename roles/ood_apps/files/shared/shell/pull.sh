# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2154  # settings.sh sets them
#
# How before.sh fetches an image, with the credentials that the form gave. It is sourced before anything else, in the
# session's directory: whatever happens then, there is no file with a token.

ces_token=
if [[ -e registry-token ]]; then
    exec {ces_token}<registry-token
    rm -f registry-token
fi

# ces_refuse TEXT... : end the job; the card has this as the reason.
ces_refuse() {
    ces_ended FAILED 125 "$*"
    ces_say "$*"
    # what was started in the background would be waited for
    pkill -P $$
    exit 1
}

# ces_check_credentials : a user's own file is one that others cannot read.
ces_check_credentials() {
    local file=${ces_credentials_file/#\~\//$HOME/}
    if [[ -z $file ]]; then return; fi
    [[ -f $file ]] || ces_refuse "The credentials file $file is not there on $(hostname): write its whole path."
    [[ -r $file && -O $file ]] || ces_refuse "The credentials file $file is not yours, or you cannot read it."
    (((0$(stat -L -c %a -- "$file") & 077) == 0)) ||
        ces_refuse "Others can read the credentials file $file: chmod 600 $file, and ask for a new token."
}

# ces_pull DIRECTORY : ces-pull, with the credentials that there are, once; an image file is linked to from the directory.
ces_pull() {
    ces_follow ces_ask_registry "$1" 2>&1
    local status=$?
    if [[ -n $ces_token ]]; then exec {ces_token}<&-; fi
    return "$status"
}

# Becomes ces-pull. The file is as podman login writes it, or holds a token alone.
ces_ask_registry() {
    local file=${ces_credentials_file/#\~\//$HOME/}
    cd -- "$1" || exit
    if [[ -n $ces_token ]]; then
        exec ces-pull "$ces_runner" --username "$ces_user" --password-stdin "$ces_image" <&"$ces_token"
    elif [[ -z $file ]]; then
        exec ces-pull "$ces_runner" "$ces_image" </dev/null
    elif [[ $(tr -d '[:space:]' <"$file" | head -c 1) == '{' ]]; then
        exec ces-pull "$ces_runner" --authfile "$file" "$ces_image" </dev/null
    else
        exec ces-pull "$ces_runner" --username "$ces_user" --password-stdin "$ces_image" <"$file"
    fi
}
