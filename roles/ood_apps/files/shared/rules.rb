# SPDX-License-Identifier: GPL-3.0-or-later
# How a field's value is checked, by its kind. A rule gets the field, the text and the cluster that was chosen (nil if that
# choice was refused), and answers the value or raises Refused with what to do.
class Refused < StandardError; end

module Rules
  # What a browser would have checked, and what nobody may send: text areas have \r\n.
  def self.text(field, value)
    text = value.to_s.dup.force_encoding(Encoding::UTF_8)
    raise Refused, "it is not UTF-8" unless text.valid_encoding?
    text = text.gsub(/\r\n?/, "\n")
    text = text.strip unless field.kind == :secret
    raise Refused, "it is longer than #{field.longest} characters" if text.length > field.longest
    several = %i[words pairs].include?(field.kind)
    odd = several ? /[^\P{C}\n\t]/ : /\p{C}/
    raise Refused, "it holds characters that cannot be printed, or a line break" if text.match?(odd)
    text
  end

  def self.line(field, text, _cluster)
    return text if text.empty? || text.match?(/\A(?:#{field.pattern})\z/)
    raise Refused, "#{field.shown(text)} cannot be used"
  end

  # Never repeated in a message.
  def self.secret(_field, text, _cluster) = text

  def self.flag(_field, text, _cluster)
    return %w[1 true yes on].include?(text) if %w[0 1 true false yes no on].include?(text) || text.empty?
    raise Refused, "it is neither ticked nor not"
  end

  def self.whole(field, text, cluster)
    least, most = field.range(cluster)
    return [field.preset, most].min if text.empty?
    raise Refused, "#{field.shown(text)} is no whole number" unless text.match?(/\A[0-9]{1,9}\z/)
    number = text.to_i
    raise Refused, "it is at least #{least}" if number < least
    raise Refused, "#{cluster.title} allows at most #{most}" if number > most
    number
  end

  def self.cluster(field, _text, cluster)
    cluster ? cluster.id : raise(Refused, "it is none that you may use for this")
  end

  def self.runner(field, text, cluster)
    return cluster.runners.first if text.empty?
    return text if cluster.runners.include?(text)
    raise Refused, "#{cluster.title} has #{cluster.runners.join(" and ")}, not #{field.shown(text)}"
  end

  def self.words(_field, text, _cluster)
    line = Words.open_line(text)
    raise Refused, "a quote in line #{line} is not closed" if line
    text
  end

  def self.pairs(_field, text, _cluster)
    line = Words.bad_env_line(text)
    raise Refused, "line #{line} is not NAME=value" if line
    text
  end
end
