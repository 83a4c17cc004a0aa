# SPDX-License-Identifier: GPL-3.0-or-later
require "yaml"

# An app: the name is its directory's, the fields of its form are in fields.yml, in their order.
class App
  attr_reader :name, :fields

  def initialize(root)
    @name = File.basename(root.to_s)
    @fields = YAML.safe_load(File.read(File.join(root.to_s, "fields.yml")))
  end
end
