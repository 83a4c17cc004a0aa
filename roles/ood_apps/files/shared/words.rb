# SPDX-License-Identifier: GPL-3.0-or-later
# Text of several words or lines, as researchers write it; ces-run reads it again, by the same rules.
module Words
  TOKEN = /
      [ \t\n]+
    | \\\n
    | '[^']*'
    | "(?:[^"\\]|\\.)*"
    | \\.
    | [^ \t\n'"\\]+
  /mx

  # The line whose quote is not closed, or nil.
  def self.open_line(text)
    position = 0
    fresh = true
    while position < text.length
      comment = fresh && text.match(/\G#[^\n]*/, position)
      match = comment || text.match(/\G(?:#{TOKEN})/, position)
      return text[0, position].count("\n") + 1 unless match
      fresh = match[0].match?(/\A[ \t\n]/)
      position = match.end(0)
    end
    nil
  end

  # The number of the first line that is not NAME=value, empty or a comment, or nil.
  def self.bad_env_line(text)
    text.split("\n").each_with_index do |line, index|
      next if line.strip.empty? || line.lstrip.start_with?("#")
      return index + 1 unless line.lstrip.match?(/\A[A-Za-z_][A-Za-z0-9_.-]*=/)
    end
    nil
  end
end
