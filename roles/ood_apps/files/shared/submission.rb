# SPDX-License-Identifier: GPL-3.0-or-later
# What was sent, checked: for submit.yml.erb, where it refuses, and for the templates, where it is known to be right.
#
#     job = ces::Submission.new(File.dirname(__FILE__), self)
class Submission
  attr_reader :cluster, :values

  # For templates, which are rendered when the secrets are gone.
  def self.staged(session, context)
    new(session.app.root, context, without: :secret)
  end

  # :param root: the app's directory; context: has a method for each of the fields; without: a kind of fields to pass over.
  def initialize(root, context, without: nil)
    app = App.new(root)
    # a form has no field that no cluster has a use for
    given = app.fields.reject { |name| Fields[name].kind == without }.to_h { |name| [name, context.respond_to?(name) ? context.public_send(name) : ""] }
    wanted = given["cluster"].to_s
    @cluster = Cluster.usable(app.name).find { |cluster| cluster.id == wanted }
    @values = checked(given)
    refuse(ImageCheck.complaints(@cluster, @values)) unless without
    given.each { |name, value| replace(value, "0") if hidden?(name, given) }
  rescue Refused
    # the portal shows the form again with what was typed: not with a secret
    given.each { |name, value| replace(value, "") if Fields[name].kind == :secret }
    raise
  end

  def [](name) = values.fetch(name)

  # "script:" of submit.yml.erb.
  def script(name:)
    # what a form's own node fields would set is replaced by this, so all is said here
    native = ["-N", "1", "-n", "1", "-c", values.fetch("cores", 1).to_s, "--mem=#{values.fetch("memory", 1)}G"]
    native << "--gres=gpu:#{values["gpus"]}" if values.fetch("gpus", 0).positive?
    said = { job_name: name, wall_time: cluster.wall_time, rerunnable: false, native: native }
    cluster.partition ? said.merge(queue_name: cluster.partition) : said
  end

  private

  def checked(given)
    wrong = []
    values = given.to_h do |name, value|
      # without a cluster there are no limits to check against
      next [name, nil] if cluster.nil? && name != "cluster"
      [name, Fields[name].check(hidden?(name, given) ? "" : value, cluster)]
    rescue Refused => e
      wrong << e.message
      [name, nil]
    end
    wrong += disagreements(values) if wrong.empty?
    refuse(wrong)
    values
  end

  def refuse(wrong)
    raise Refused, wrong.join(" ") unless wrong.empty?
  end

  # What the form hides was not meant, whatever was typed before another cluster or runner was chosen.
  def hidden?(name, given)
    runner = given["runner"].to_s.b.strip
    cluster && Fields.hidden?(name, cluster, runner.empty? ? cluster.runners.first : runner)
  end

  # The portal's own string: it shows, stages and remembers that.
  def replace(value, text)
    value.replace(text) if value.is_a?(String) && !value.frozen?
  end

  def disagreements(values)
    Fields::TOGETHER.select { |names, _what, wrong| (names - values.keys).empty? && wrong.call(values) }
                    .map { |_names, what, _wrong| what }
  end
end
