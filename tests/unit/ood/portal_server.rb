# SPDX-License-Identifier: GPL-3.0-or-later
# Answers what tests ask a portal: a line of JSON for each line of JSON. A process of its own answers each request, so
# that nothing is left of one in the next; Ruby and its libraries are loaded once for all of them.
require_relative "../../ood/portal"

# Each template loads the app's shared files anew, a launch some sixty: compile each of them once.
class RubyVM::InstructionSequence
  def self.load_iseq(path)
    @compiled ||= {}
    load_from_binary(@compiled[path] ||= compile_file(path).to_binary)
  end
end

$stdin.each_line do |line|
  child = fork do
    places = JSON.parse(line)
    request = PortalRequest.new(places)
    puts JSON.generate(places.fetch("do").map { |wanted| request.answer(wanted) })
  end
  _, status = Process.wait2(child)
  puts "null" unless status.success?
  $stdout.flush
end
