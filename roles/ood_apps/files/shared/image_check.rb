# SPDX-License-Identifier: GPL-3.0-or-later
# Can the image work on the cluster? ces-check says it while the form is there to be corrected; a job would say it after
# hours in the queue. Where nobody can say (no such program, no answer in time), the job is queued and says it.
require "open3"
require "timeout"

module ImageCheck
  # Bytes of an answer, and of a credentials file.
  LONGEST = 1 << 20
  # Seconds that a program has to end once it is told to.
  TO_END = 0.5
  # The portal does not see a login that is kept on a node.
  SIGNED_IN = " If you ran podman login on the cluster, write the file that it made into Credentials file:" \
              " /run/user/#{Process.uid}/containers/auth.json.".freeze
  # The field that mends what a check found; the others are the image's.
  FIELDS = { "network" => "runner" }.freeze

  # What keeps the image from working, as sentences for the form. :param values: checked, the secret among them.
  def self.complaints(cluster, values)
    program, *words = cluster.image_check
    # an image file that is there is run whatever the registry has
    return [] if program.nil? || !values.key?("image") || values["reuse_sif"]
    login, secret = credentials(cluster, values)
    return [] if login.nil?
    words = [program, values["runner"], *words, *login, "--json", values["image"]]
    text = ask(words, secret, cluster.image_check_seconds)
    faults(text, values["runner"]).map { |fault| sentence(fault, values) }
  end

  # The words that name the user's credentials, and what goes to standard input; nil where they are not to be had here. What
  # lies outside the home is the node's own: a file of that name here may have another token.
  def self.credentials(cluster, values)
    user, token, file = values.values_at("registry_user", "registry_token", "credentials_file").map(&:to_s)
    return [["--username", user, "--password-stdin"], token] unless token.empty?
    return [[], ""] if file.empty?
    path = file.sub(%r{\A~(?=/)}) { Dir.home }
    return unless cluster.shared_home? && File.file?(path) && File.owned?(path) && in_home?(path)
    text = File.read(path, LONGEST).to_s
    return [["--authfile", path], ""] if text.lstrip.start_with?("{")
    [["--username", user, "--password-stdin"], text] unless user.empty?
  rescue SystemCallError
    nil
  end

  def self.in_home?(path) = File.realpath(path).start_with?("#{File.realpath(Dir.home)}/")

  # What the program printed; empty where it could not say.
  def self.ask(words, secret, seconds)
    input, output, child = Open3.popen2(*words, err: File::NULL, pgroup: true)
    Timeout.timeout(seconds) do
      give(input, secret)
      text = String.new(output.read(LONGEST).to_s, encoding: Encoding::UTF_8)
      child.value.exitstatus == 1 ? text : ""
    end
  rescue SystemCallError
    ""
  rescue Timeout::Error
    end_group(child)
  ensure
    [input, output].compact.each(&:close)
  end

  def self.give(input, secret)
    input.write(secret)
  rescue Errno::EPIPE
    nil
  ensure
    input.close
  end

  def self.end_group(child)
    Process.kill("TERM", -child.pid)
    Process.kill("KILL", -child.pid) unless child.join(TO_END)
    ""
  rescue Errno::ESRCH
    ""
  end

  # The faults that it names. What has not the form of ces-check's answer is not believed: the job says what is wrong.
  def self.faults(text, runner)
    return [] unless text.valid_encoding?
    found = ["runners", runner, "findings"].reduce(JSON.parse(text)) { |part, key| part.is_a?(Hash) ? part[key] : nil }
    found.is_a?(Array) ? found.select { |finding| fault?(finding) } : []
  rescue JSON::ParserError
    []
  end

  def self.fault?(finding)
    return false unless finding.is_a?(Hash) && finding["level"] == "fault"
    words = finding.values_at("check", "said", "cure")
    words.all? { |word| word.is_a?(String) && word.valid_encoding? } && !finding["said"].strip.empty?
  end

  def self.sentence(fault, values)
    login = fault["check"] == "login"
    field = login ? login_field(values) : FIELDS.fetch(fault["check"], "image")
    said = fault.values_at("said", "cure").map { |text| Cures.on_a_card(text).delete_suffix(".") }.reject(&:empty?)
    "#{Fields[field].label}: #{said.join(": ")}.#{SIGNED_IN if login && field == "registry_user"}"
  end

  # Where the user said who asks, or would have.
  def self.login_field(values)
    %w[registry_token credentials_file].find { |name| !values[name].to_s.empty? } || "registry_user"
  end
  private_class_method :credentials, :in_home?, :ask, :give, :end_group, :faults, :fault?, :sentence, :login_field
end
