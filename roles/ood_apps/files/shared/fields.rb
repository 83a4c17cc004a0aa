# SPDX-License-Identifier: GPL-3.0-or-later
# All fields that apps have: a form takes its patterns and limits from here, and so does the check on the server. Patterns
# are read by Ruby and by browsers, which use the flag v: in [] the characters ( ) [ ] { } / - | are escaped.
#
#   kind      the rule in rules.rb       label     as the form has it, for messages
#   longest   characters                 hint      what to do, said behind what is wrong
#   limit     what of the cluster is the maximum; least, preset: the minimum, and the value of an empty field
class Field
  attr_reader :name, :kind, :label, :pattern, :longest, :hint, :limit, :least, :preset, :required

  def initialize(name, kind:, label:, hint: "", pattern: nil, longest: 200, limit: nil, least: 0, preset: 0, required: false)
    @name, @kind, @label, @hint, @pattern, @longest = name, kind, label, hint, pattern, longest
    @limit, @least, @preset, @required = limit, least, preset, required
  end

  # The value, checked.
  def check(value, cluster)
    text = Rules.text(self, value)
    raise Refused, "it is missing" if required && text.empty?
    Rules.public_send(kind, self, text, cluster)
  rescue Refused => e
    raise Refused, "#{label}: #{e.message}#{hint.empty? ? "." : ": #{hint}."}"
  end

  def range(cluster) = [least, cluster.public_send(limit)]

  # A value in a message: short.
  def shown(text) = "\"#{text.length > 60 ? "#{text[0, 60]}..." : text}\""
end

module Fields
  ALL = [
    Field.new("cluster", kind: :cluster, label: "Cluster", hint: "choose another one", required: true),
    Field.new("image", kind: :line, label: "Image", pattern: Words::GRAMMAR["image"], longest: 520, required: true,
              hint: "write it as registry.example.org/project/image:tag"),
    Field.new("registry_user", kind: :line, label: "Registry user", pattern: '[^:\s][^:]*',
              hint: "it is the name by which you log in to the registry, without a colon"),
    Field.new("registry_token", kind: :secret, label: "Registry token", longest: 8000,
              hint: "copy it again, without line breaks"),
    Field.new("credentials_file", kind: :line, label: "Credentials file", pattern: '(?:~\/|\/).+', longest: 1000,
              hint: "give the whole path, such as ~/registry-token"),
    Field.new("runner", kind: :runner, label: "Runner", hint: "choose one of these"),
    Field.new("reuse_sif", kind: :flag, label: "Reuse the image file"),
    Field.new("container_name", kind: :line, label: "Container name", pattern: Words::GRAMMAR["container_name"], longest: 128,
              hint: "use letters, digits, and _ . - after the first"),
    Field.new("cores", kind: :whole, label: "Cores", limit: :max_cores, least: 1, preset: 1),
    Field.new("memory", kind: :whole, label: "Memory (GiB)", limit: :max_memory, least: 1, preset: 4),
    Field.new("gpus", kind: :whole, label: "GPUs", limit: :max_gpus),
    Field.new("engine_args", kind: :words, label: "Runner options", longest: 20_000,
              hint: "write them as on a command line, in quotes where there are spaces"),
    Field.new("container_env", kind: :pairs, label: "Environment", longest: 100_000,
              hint: "write one NAME=value a line; names have letters, digits, _ . and -"),
    Field.new("container_args", kind: :words, label: "Container arguments", longest: 100_000,
              hint: "write them as on a command line, in quotes where there are spaces"),
    Field.new("project", kind: :line, label: "Project", pattern: '[a-zA-Z0-9_][a-zA-Z0-9_.\-]*', longest: 100,
              hint: "it is the name of a directory in /safe_data"),
    Field.new("work_dir", kind: :line, label: "Working directory", pattern: '~|(?:~\/|\/)[^,:"\'\\\\]*', longest: 1000,
              hint: "give the whole path, such as ~/analysis, without quotes, commas and colons"),
    Field.new("greeting", kind: :line, label: "Greeting", pattern: '.*')
  ].to_h { |field| [field.name, field] }.freeze

  # What several fields say together: [the fields it is about, what is wrong if the block is true].
  TOGETHER = [
    [%w[registry_user registry_token], "Registry user: name the user that the registry token belongs to.",
     ->(v) { !v["registry_token"].empty? && v["registry_user"].empty? }],
    [%w[registry_user registry_token credentials_file],
     "Registry token: give it, or a credentials file, or leave the registry user empty for a public image.",
     ->(v) { !v["registry_user"].empty? && v["registry_token"].empty? && v["credentials_file"].empty? }],
    [%w[registry_token credentials_file], "Credentials file: give it or a registry token, not both.",
     ->(v) { !v["registry_token"].empty? && !v["credentials_file"].empty? }]
  ].freeze

  # Fields that there is no use for on some clusters: how many of it the cluster has.
  SCARCE = { "gpus" => :max_gpus }.freeze
  # The runners that forms offer, by name: who one is in a container ("said"), whether its images are files. pack_apps.py
  # writes it from the core's table.
  RUNNERS = JSON.parse(File.read(File.join(__dir__, "runners.json"))).freeze
  # Fields that only some runners have.
  OF_RUNNERS = { "reuse_sif" => RUNNERS.select { |_name, runner| runner["files"] }.keys }.freeze

  def self.[](name) = ALL.fetch(name)

  # Whether a form hides the field, for the cluster and the runner that are chosen.
  def self.hidden?(name, cluster, runner)
    return !cluster.public_send(SCARCE[name]).positive? if SCARCE.key?(name)
    OF_RUNNERS.key?(name) && !OF_RUNNERS[name].include?(runner)
  end
end
