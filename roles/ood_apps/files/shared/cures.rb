# SPDX-License-Identifier: GPL-3.0-or-later
# What the commands advise, as the form has it: they name their options, a card names the form's fields.
module Cures
  # Advice that has other words on a form.
  SENTENCES = [
    [/choose another name with -n, or stop that container with ces-stop/i,
     "write another Container name, or cancel the session that has it"],
    [/leave --gpu out/i, "set GPUs to 0"],
    [/choose one with --project NAME \(or CES_PROJECT\)/i, "write one of them into Project"],
    [/\(--gres=gpu:N\)/, "(GPUs)"],
    [/\(ces-pull --username\)/, "(Registry user and Registry token)"]
  ].freeze

  # The field for an option of ces-run and ces-pull.
  OPTIONS = {
    "-c" => "cores", "--cores" => "cores", "-m" => "memory", "--memory" => "memory", "-n" => "container_name",
    "--name" => "container_name", "--gpu" => "gpus", "--gpus" => "gpus", "--env-file" => "container_env",
    "--opt-file" => "engine_args", "--arg-file" => "container_args", "--project" => "project",
    "--username" => "registry_user", "--password-stdin" => "registry_token", "--authfile" => "credentials_file"
  }.freeze

  # Options of an engine are typed as they are: in a list of those that are allowed, and where one was refused.
  WORD = /allowed: [^;]*|\bpass \S+|(?<![\w-])--?[a-z][a-z-]*(?![\w-])/

  def self.on_a_card(text)
    said = SENTENCES.reduce(text.to_s) do |result, (pattern, words)|
      result.gsub(pattern) { |found| found.match?(/\A[A-Z]/) ? words.sub(/\A./, &:upcase) : words }
    end
    said.gsub(WORD) { |word| OPTIONS.key?(word) ? Fields[OPTIONS[word]].label : word }
  end
end
