# SPDX-License-Identifier: GPL-3.0-or-later
# Every way out of an app: a value that leaves goes through one of these, whatever was checked before.
module Quote
  # A word of a shell's line.
  def self.shell(value)
    # Shellwords writes a line break between quotes, which is right; an empty word is '' there
    Shellwords.escape(value.to_s)
  end

  # Text of a page. Markdown is rendered over it, so its marks are escaped too, and line breaks, which could end a block.
  # What is not to be seen is written out: a mark that turns the direction of writing would change the whole line.
  def self.html(value)
    text = value.to_s.scrub("?").gsub(/[\s\u0085\u2028\u2029]+/, " ")
    text = text.gsub(/[\p{Cc}\p{Cf}]/) { |char| format("\\u%04x", char.ord) }
    text.gsub(/[^\p{L}\p{N} .,\/@%]/) { |char| "&##{char.ord};" }
  end

  # A value of YAML, in flow style. JSON would do but for characters that YAML allows nowhere unescaped, and for those
  # beyond 16 bits, which JSON writes as two halves that YAML refuses.
  def self.yaml(value)
    case value
    when nil then "null"
    when true, false, Integer, Float then value.to_s
    when Hash then "{#{value.map { |key, item| "#{yaml(key.to_s)}: #{yaml(item)}" }.join(", ")}}"
    when Array then "[#{value.map { |item| yaml(item) }.join(", ")}]"
    else "\"#{value.to_s.scrub("?").gsub(/[^ !#-\[\]-~]/) { |char| yaml_character(char) }}\""
    end
  end

  def self.yaml_character(char)
    code = char.ord
    return format("\\x%02x", code) if code < 0x100
    code < 0x10000 ? format("\\u%04x", code) : format("\\U%08x", code)
  end
  private_class_method :yaml_character
end
