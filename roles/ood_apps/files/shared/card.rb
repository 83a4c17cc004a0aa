# SPDX-License-Identifier: GPL-3.0-or-later
# HTML of the views, every value quoted. Markdown is rendered over a view, and leaves alone what is one block: a view is one
# line here.
module Card
  COLOURS = { "COMPLETED" => "success", "CANCELLED" => "warning" }.freeze
  WORDS = {
    "COMPLETED" => "succeeded", "FAILED" => "failed", "TIMEOUT" => "ran out of time", "CANCELLED" => "was cancelled",
    "OUT_OF_MEMORY" => "ran out of memory", "NODE_FAIL" => "was lost with its node"
  }.freeze

  # The info view of a session, in whatever state: what was asked for, and where things are while it is not over.
  def self.info(session, names)
    said, outcome = session.user_context, Outcome.new(session.staged_root)
    cluster = OodAppkit.clusters.find { |one| one.id.to_s == said["cluster"] }
    told = { "cluster" => cluster && Cluster.new(cluster).title,
             "project" => outcome.project,
             "container_name" => Names.container(said["image"].to_s, said["container_name"].to_s, session.id) }
    facts = names.map { |name| [Fields[name].label, told[name] || said[name]] }
    links = session.completed? ? "" : list([["Outputs", outcome.place("outputs")], ["Log", outcome.log]])
    "<div class=\"ces-info\">#{table(facts + [["Note", Cures.on_a_card(outcome["note"])]])}#{links}</div>"
  end

  # The completed view of a session: whether WHAT succeeded, and where things are.
  def self.completed(session, what)
    OneShot.forget(session)
    outcome = Outcome.new(session.staged_root)
    facts = [
      ["State", outcome.state], ["Step", outcome.succeeded? ? nil : outcome.step], ["Exit code", outcome.exit_code],
      ["Reason", Cures.on_a_card(outcome.reason)], ["Run time", duration(outcome.run_time)]
    ]
    links = [["Outputs", outcome.place("outputs")], ["Log", outcome.log]]
    colour = COLOURS.fetch(outcome.state, "danger")
    headline = "#{what} #{WORDS.fetch(outcome.state, "ended")}"
    "<div class=\"ces-outcome alert alert-#{colour}\" role=\"status\" data-state=\"#{Quote.html(outcome.state)}\">" \
      "<p><strong>#{Quote.html(headline)}</strong></p>#{table(facts)}#{list(links)}</div>"
  end

  # A table of [name, value]; what is empty has no row.
  def self.table(facts)
    rows = facts.reject { |_name, value| value.to_s.empty? }
                .map { |name, value| "<tr><th scope=\"row\">#{Quote.html(name)}</th><td>#{Quote.html(value)}</td></tr>" }
    # long names break on a small screen
    "<table class=\"table table-sm text-break\">#{rows.join}</table>"
  end

  # Links into the portal's files app.
  def self.list(links)
    items = links.reject { |_name, path| path.nil? }.map do |name, path|
      "<li>#{Quote.html(name)}: <a href=\"#{ERB::Util.html_escape(OodAppkit.files.url(path: path).to_s)}\">" \
        "#{Quote.html(path)}</a></li>"
    end
    items.empty? ? "" : "<ul class=\"text-break\">#{items.join}</ul>"
  end

  def self.duration(seconds)
    return if seconds.nil?
    return format("%.1f s", seconds) if seconds < 60
    minutes, rest = seconds.round.divmod(60)
    parts = minutes < 60 ? [[minutes, "min"], [rest, "s"]] : [[minutes / 60, "h"], [minutes % 60, "min"]]
    parts.reject { |number, _unit| number.zero? }.map { |number, unit| "#{number} #{unit}" }.join(" ")
  end
end
