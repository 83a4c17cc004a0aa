# SPDX-License-Identifier: GPL-3.0-or-later
# A form as a page, with what was typed before: ids and names are the portal's, page.js, which follows it, does what its
# directives say.
class PortalPage
  def initialize(app, values, directives)
    @app, @values, @directives = app, values, directives
  end

  def html
    "<!DOCTYPE html><meta charset=\"utf-8\"><title>#{@app.token}</title><form>#{@app.fields.map { |id, said| field(id, said) }.join}" \
      "<input type=\"submit\"></form><script>const directives = #{JSON.generate(@directives)};</script>#{own}"
  end

  private

  def own
    file = @app.root.join("form.js")
    file.file? ? "<script>(function(){\n#{file.read}\n}());</script>" : ""
  end

  def field(id, said)
    value = @values.fetch(id, said["value"])
    attributes = { id: "batch_connect_session_context_#{id}", name: id }
    "<div id=\"batch_connect_session_context_#{id}_wrapper\" class=\"mb-3\">" \
      "<label for=\"#{attributes[:id]}\">#{ERB::Util.html_escape(said["label"] || id)}</label>#{widget(said, value, attributes)}</div>"
  end

  def widget(said, value, attributes)
    case said["widget"]
    when "select" then tag("select", attributes) + options(said["options"], value) + "</select>"
    when "text_area" then "#{tag("textarea", attributes)}\n#{ERB::Util.html_escape(value)}</textarea>"
    when "check_box" then tag("input", attributes.merge({ type: "checkbox", value: "1" }, value.to_s == "1" ? { checked: "" } : {}))
    else
      type = { "number_field" => "number", "password_field" => "password", "hidden_field" => "hidden" }.fetch(said["widget"], "text")
      tag("input", attributes.merge(said.slice("min", "max", "step", "pattern", "maxlength"), { type: type, value: value }))
    end
  end

  def options(list, value)
    list.map do |text, id, data|
      tag("option", (data || {}).merge({ value: id }, id == value ? { selected: "" } : {})) + "#{ERB::Util.html_escape(text)}</option>"
    end.join
  end

  def tag(name, attributes) = "<#{name} #{attributes.map { |key, value| "#{key}=\"#{ERB::Util.html_escape(value)}\"" }.join(" ")}>"
end
