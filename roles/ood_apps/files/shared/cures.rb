# SPDX-License-Identifier: GPL-3.0-or-later
# What the commands advise, as the form has it: they name their options, a card names the form's fields.
module Cures
  # Advice that has other words on a form. What no field mends is done in a shell.
  SENTENCES = {
    "choose another name with -n, or stop that container with ces-stop" =>
      "write another Container name, or cancel the session that has it",
    "choose one with --project NAME (or CES_PROJECT)" => "write one of them into Project",
    "(ces-pull --username)" => "(Registry user and Registry token)",
    "leave --gpu out" => "set GPUs to 0",
    "(--gres=gpu:N)" => "(GPUs)",
    "ask Slurm for it: --gres=gpu:1, or gpus: 1 of tre.ces.ces_run" => "set GPUs to 1",
    "leave -m and -c out, or see" => "tell the administrator, who finds more in",
    "move it away, or pull with --force" => "move it away, or tick Reuse the image file",
    "pull the image; or the administrator sets" => "leave Reuse the image file unticked; or the administrator sets",
    "pull the image again with --force" => "in a shell on the cluster, pull the image again with --force",
    "free some space: ces-images" => "free some space in a shell on the cluster: ces-images",
    "write --env NAME=value, or use an env file" => "write it into Environment"
  }.freeze

  # The field for an option of ces-run and ces-pull.
  OPTIONS = {
    "-c" => "cores", "--cores" => "cores", "-m" => "memory", "--memory" => "memory", "-n" => "container_name",
    "--name" => "container_name", "--gpu" => "gpus", "--gpus" => "gpus", "--env-file" => "container_env",
    "--opt-file" => "engine_args", "--arg-file" => "container_args", "--project" => "project",
    "--username" => "registry_user", "--password-stdin" => "registry_token", "--authfile" => "credentials_file"
  }.freeze

  # Options of an engine are typed as they are: in a list of those that are allowed, and where one was refused.
  WORD = /[Aa]llowed: [^;]*|\bpass \S+|(?<![\w-])--?[a-z][a-z-]*(?![\w-])/

  # A sentence may begin with it.
  ADVICE = SENTENCES.merge(SENTENCES.to_h { |said, words| [said, words].map { |text| text.sub(/\A./, &:upcase) } }).freeze

  def self.on_a_card(text)
    said = text.to_s.gsub(Regexp.union(ADVICE.keys), ADVICE)
    said.gsub(WORD) { |word| OPTIONS.key?(word) ? Fields[OPTIONS[word]].label : word }
  end
end
