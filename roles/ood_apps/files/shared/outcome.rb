# SPDX-License-Identifier: GPL-3.0-or-later
# How a job ended: what its scripts wrote into "progress" (shell/steps.sh), and the record of the container's run, to
# which "run" in the session's directory leads. Files of a home are the user's: nothing in them is trusted to be as it was.
class Outcome
  FINAL = %w[COMPLETED FAILED TIMEOUT CANCELLED OUT_OF_MEMORY NODE_FAIL].freeze
  LONGEST = 1 << 20

  attr_reader :root

  def initialize(root)
    @root = root.to_s
    @progress = progress
    @record = record
  end

  def succeeded? = state == "COMPLETED"

  # The container's state, else that of the step that the job came to.
  def state
    return @record["state"] if FINAL.include?(@record["state"])
    return @progress["state"] if FINAL.include?(@progress["state"])
    "CANCELLED"
  end

  def step = @progress["step"]

  def exit_code
    code = FINAL.include?(@record["state"]) ? @record["rc"] : @progress["rc"]
    code.to_s.match?(/\A[0-9]{1,3}\z/) ? code.to_i : nil
  end

  def reason
    return @record["reason"].to_s if FINAL.include?(@record["state"])
    return @progress["reason"].to_s if FINAL.include?(@progress["state"])
    return "The job ended before it began: it was cancelled, or Slurm could not start it." if step.nil?
    "The job ended during the step \"#{step}\": it was cancelled, its time was over, or its node failed."
  end

  # Seconds, or nil.
  def run_time
    said = @record["duration"]
    # a number of JSON can be larger than all that Ruby counts with
    return said if said.is_a?(Numeric) && said.finite?
    (Time.parse(@record["ended"]) - Time.parse(@record["started"])).abs if @record["started"] && @record["ended"]
  rescue ArgumentError, TypeError
    nil
  end

  # A directory or file that the record names, if it is there.
  def place(name)
    path = (@record[name] || @progress[name]).to_s
    # Ruby looks for no path that has a NUL
    path if path.start_with?("/") && !path.include?("\0") && File.exist?(path)
  end

  # The project whose data the container has, or the directory in its place.
  def project
    mounts = @record["mounts"]
    source = mounts.is_a?(Array) && mounts.grep(Hash).find { |mount| mount["target"] == "/safe_data" }&.fetch("source", nil)
    source.to_s[%r{\A/safe_data/([^/]+)\z}, 1] || source || nil
  end

  def log
    path = "#{root}/output.log"
    path if File.file?(path)
  end

  def [](name) = @record[name] || @progress[name]

  private

  def read(path)
    File.file?(path) && File.size(path) <= LONGEST ? File.read(path, encoding: "UTF-8").scrub("?") : ""
  rescue SystemCallError
    ""
  end

  # "KEY VALUE" a line; a later one wins
  def progress = read("#{root}/progress").each_line(chomp: true).to_h { |line| [line[/\A\S*/], line[/ (.*)/, 1].to_s] }

  def record
    said = JSON.parse(read("#{root}/run/run.json"))
    said.is_a?(Hash) ? said : {}
  rescue JSON::ParserError
    {}
  end
end
