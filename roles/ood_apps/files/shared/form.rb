# SPDX-License-Identifier: GPL-3.0-or-later
# What form.yml.erb takes from the table of fields and from the clusters: which there are, what values may be, and how
# fields and limits change with the cluster and the runner that are chosen.
#
#     form = ces::Form.new(File.dirname(__FILE__))
class Form
  # Fields that there is no use for on some clusters: how many of it the cluster has.
  SCARCE = { "gpus" => ->(cluster) { cluster.max_gpus } }.freeze
  # Fields that only some runners have.
  OF_RUNNERS = { "reuse_sif" => %w[apptainer] }.freeze

  attr_reader :clusters

  # :param root: the app's directory.
  def initialize(root)
    @app = App.new(root)
    @clusters = Cluster.usable(@app.name)
    @fields = @app.fields.select { |name| useful?(name) }
  end

  # Names of the fields, without those that no cluster has a use for.
  attr_reader :fields

  # For "cluster:" of a form. One that nobody has lets the portal say that there is none for this user.
  def cluster_ids = clusters.empty? ? ["no-cluster-offers-this-app"] : clusters.map(&:id)

  def runners = clusters.flat_map(&:runners).uniq

  # What of an attribute the table of fields and the clusters say, as lines of YAML at the depth of an attribute's keys.
  def rules(name)
    field = Fields[name]
    { label: field.label }.merge(SAID.fetch(field.kind, ->(*) { {} }).call(self, field))
                          .map { |key, value| "#{key}: #{Quote.yaml(value)}" }.join("\n    ")
  end

  # By kind of field.
  SAID = {
    cluster: ->(form, _field) { form.cluster_choice },
    runner: ->(form, _field) { form.runner_choice },
    whole: ->(form, field) { form.number(field) },
    line: lambda do |_form, field|
      { widget: "text_field", required: field.required, maxlength: field.longest, pattern: field.pattern, title: field.hint }
    end,
    # the portal neither remembers nor shows it
    secret: ->(*) { { widget: "password_field", cacheable: false, autocomplete: "off" } },
    flag: ->(*) { { widget: "check_box" } },
    words: ->(_form, field) { { widget: "text_area", maxlength: field.longest } },
    pairs: ->(_form, field) { { widget: "text_area", maxlength: field.longest } }
  }.freeze

  # A single cluster is no choice.
  def cluster_choice
    return { widget: "hidden_field", value: cluster_ids.first } if clusters.length < 2
    { widget: "select", options: clusters.map { |cluster| [cluster.title, cluster.id, of_cluster(cluster)] } }
  end

  def runner_choice
    return { widget: "hidden_field", value: runners.first.to_s } if runners.length < 2
    { widget: "select", value: runners.first, options: runners.map { |runner| [runner, runner, of_runner(runner)] } }
  end

  # The limits are those of the first cluster until another one is chosen.
  def number(field)
    least, most = clusters.empty? ? [field.least, field.least] : field.range(clusters.first)
    { widget: "number_field", value: field.preset.clamp(least, [most, least].max), min: least, max: most, step: 1 }
  end

  private

  def useful?(name)
    return clusters.any? { |cluster| SCARCE[name].call(cluster).positive? } if SCARCE.key?(name)
    return runners.any? { |runner| OF_RUNNERS[name].include?(runner) } if OF_RUNNERS.key?(name)
    true
  end

  # Every option has every directive: what one does not say would stay as the last one said it.
  def of_cluster(cluster)
    fields.each_with_object({}) do |name, said|
      field = Fields::ALL[name]
      next unless field&.limit
      attribute = name.tr("_", "-")
      said["data-max-#{attribute}"] = cluster.public_send(field.limit)
      next unless SCARCE.key?(name)
      said["data-hide-#{attribute}"] = !SCARCE[name].call(cluster).positive?
      # what is hidden would be sent nevertheless
      said["data-set-#{attribute}"] = 0
    end
  end

  def of_runner(runner)
    said = {}
    (fields & OF_RUNNERS.keys).each do |name|
      attribute = name.tr("_", "-")
      said["data-hide-#{attribute}"] = !OF_RUNNERS[name].include?(runner)
      said["data-set-#{attribute}"] = "0"
    end
    return said if clusters.length < 2
    clusters.each { |cluster| said["data-option-for-cluster-#{cluster.token}"] = cluster.runners.include?(runner) }
    said
  end
end
