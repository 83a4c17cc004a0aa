# SPDX-License-Identifier: GPL-3.0-or-later
# What form.yml.erb takes from the table of fields and from the clusters: which there are, what values may be, and how
# fields and limits change with the cluster and the runner that are chosen.
#
#     form = ces::Form.new(File.dirname(__FILE__))
class Form
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

  # For "help:" of the runner: who one is in the containers of each.
  def about_runners
    said = runners.filter_map { |name| Fields::RUNNERS[name]&.then { |runner| "with #{name} #{runner["said"]}" } }
    "What runs the container. #{said.join("; ").sub("with", "With")}."
  end

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

  # The label says the limit of the first cluster until another one is chosen. The maximum is that of the largest: a portal
  # puts a value that equals the maximum of one cluster up to that of another. A field that can be hidden has none: the
  # browser would refuse the form for a field that nobody sees.
  def number(field)
    ranges = clusters.map { |cluster| field.range(cluster) }
    least, most = ranges.first || [field.least, field.least]
    said = { label: limited(field, most), widget: "number_field", value: field.preset.clamp(least, [most, least].max),
             min: least, max: ranges.map(&:last).max || most, step: 1 }
    clusters.any? { |cluster| Fields.hidden?(field.name, cluster, nil) } ? said.except(:max) : said
  end

  # For "form_header:", which is Markdown: how long a job may be.
  def times
    said = clusters.map { |cluster| [Card.duration(cluster.wall_time), Quote.html(cluster.title)] }
    return "" if said.empty?
    several = said.map(&:first).uniq.length > 1
    "A job may run for #{several ? said.map { |words| words.join(" on ") }.join(", ") : said[0][0]}. Then it is ended."
  end

  private

  def limited(field, most) = "#{field.label}, up to #{most}"

  def useful?(name)
    chosen = clusters.flat_map { |cluster| cluster.runners.map { |runner| [cluster, runner] } }
    chosen.empty? || chosen.any? { |cluster, runner| !Fields.hidden?(name, cluster, runner) }
  end

  # Every option has every directive: what one does not say would stay as the last one said it. No directive changes a
  # value (data-set, data-max): a portal applies them whenever it shows the form, to what was typed before. form.js sets
  # the maximum that data-most says.
  def of_cluster(cluster)
    fields.each_with_object({}) do |name, said|
      field = Fields::ALL[name]
      next unless field&.limit
      attribute, most = name.tr("_", "-"), cluster.public_send(field.limit)
      said["data-label-#{attribute}"] = limited(field, most)
      hidden = Fields.hidden?(name, cluster, nil)
      said["data-hide-#{attribute}"] = hidden if Fields::SCARCE.key?(name)
      said["data-most-#{attribute}"] = hidden ? "" : most
    end
  end

  def of_runner(runner)
    said = (fields & Fields::OF_RUNNERS.keys).to_h do |name|
      ["data-hide-#{name.tr("_", "-")}", Fields.hidden?(name, nil, runner)]
    end
    return said if clusters.length < 2
    clusters.each { |cluster| said["data-option-for-cluster-#{cluster.token}"] = cluster.runners.include?(runner) }
    said
  end
end
