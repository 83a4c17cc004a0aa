# SPDX-License-Identifier: GPL-3.0-or-later
# What an app sees of an Open OnDemand portal, for tests: clusters, forms, submissions, staged sessions, jobs, cards. Written
# after the portal's documented behaviour (order of steps, names, what is a string), with none of its code. Portals differ:
#
#     what an app gets                                    4.0    4.1    4.2
#     view.html.erb has "session"                         no     no     yes
#     info.html.erb and completed.html.erb are a session  yes    yes    yes
#     data-max-, data-set-, data-hide-, data-label- and
#     data-option-for- of a select's options (page.js)    yes    yes    yes
#     a directive is applied when the page is shown       yes    yes    yes
#     data-help-                                          no     yes    yes
#     what was typed is kept in cache/APP.json (0644)     yes    yes    yes
#
# Where a request names no version, it is the one that gives least.
#
#     ruby portal.rb < REQUEST.json        prints the answers, a list
#
# A request says where things are, and what is to be done:
#
#     {"version": "4.2",
#      "apps": "/var/www/ood/apps/sys", "clusters": "/etc/ood/config/clusters.d", "data": "/home/alice/ondemand/data",
#      "do": [{"form": "batch_container_app"},
#             {"launch": "batch_container_app", "values": {"cluster": "one", ...}},
#             {"launch": ..., "values": {...}, "submit": false},     staged, and not given to the scheduler
#             {"check": "batch_container_app", "values": {...}},     submit.yml.erb alone
#             {"page": "batch_container_app", "values": {...}},      the form as a page, with what was typed before
#             {"card": "SESSION", "app": "batch_container_app", "completed": true}]}
require "cgi"
require "erb"
require "etc"
require "fileutils"
require "json"
require "open3"
require "ostruct"
require "pathname"
require "securerandom"
require "shellwords"
require "yaml"
# where it is a program by itself, and not sent to a host
require_relative "page" unless __FILE__ == "-e"

# By version, oldest first.
VERSIONS = {
  "4.0" => { session_in_view: false, directives: %w[max min set hide label optionFor] },
  "4.1" => { session_in_view: false, directives: %w[max min set hide label optionFor help] },
  "4.2" => { session_in_view: true, directives: %w[max min set hide label optionFor help] }
}.freeze

# A file of clusters.d.
class PortalCluster
  attr_reader :id, :job_config

  def initialize(id, said)
    @id = id.to_sym
    @said = said
    @job_config = symbols(said["job"])
  end

  def metadata = OpenStruct.new(@said["metadata"] || {})
  def login = OpenStruct.new(@said["login"] || {})
  def title = metadata.title || id.to_s
  def batch_connect_config(template) = symbols((@said["batch_connect"] || {})[template.to_s])

  def custom_config(feature = nil)
    custom = symbols(@said["custom"])
    feature ? symbols(custom.fetch(feature.to_sym, {})) : custom
  end

  # The lists of groups that a cluster is for, as its "acls" have them.
  def job_allow?
    mine = Process.groups.map { |gid| Etc.getgrgid(gid).name rescue gid.to_s }
    (@said["acls"] || []).all? { |acl| (acl["groups"] & mine).any? == (acl["type"] != "blocklist") }
  end

  private

  def symbols(hash) = (hash || {}).to_h { |key, value| [key.to_sym, value] }
end

module OodAppkit
  class << self
    attr_accessor :clusters

    def files = self

    # A path in the files app.
    def url(path:) = "/pun/sys/dashboard/files/fs#{path.to_s.split("/").map { |part| ERB::Util.url_encode(part) }.join("/")}"

    # A file that cannot be read is left out without a word, as the portal does.
    def read_clusters(directory)
      found = Dir.glob("#{directory}/*.{yml,yaml}").filter_map do |path|
        said = YAML.safe_load(File.read(path))&.fetch("v2", nil)
        said && PortalCluster.new(File.basename(path).sub(/\.ya?ml\z/, ""), said)
      rescue Psych::Exception
        nil
      end
      found.define_singleton_method(:[]) { |id| detect { |cluster| cluster.id == id.to_sym } }
      self.clusters = found
    end
  end
end

# An app as it is installed.
class PortalApp
  attr_reader :root

  def initialize(root)
    @root = Pathname.new(root)
  end

  def token = "sys/#{root.basename}"
  def form = @form ||= yaml(root.join("form.yml.erb"), nil)

  # [id, settings] of each attribute, the form's order.
  def fields
    local = form.fetch("attributes", {})
    form.fetch("form").map { |id| [id, local.fetch(id, {})] }
  end

  def submit_options(context) = yaml(root.join("submit.yml.erb"), context.for_submit)

  # The named view, rendered where "place" is self.
  def view(name, place)
    path = root.join("#{name}.html.erb")
    ERB.new(path.read, trim_mode: "-").result(place) if path.file?
  end

  private

  # Aliases are refused, as are classes.
  def yaml(path, place)
    erb = ERB.new(path.read, trim_mode: "-")
    erb.filename = path.to_s
    YAML.safe_load(erb.result(place)).to_h
  end
end

# The values of a form. All of them are strings.
class PortalContext
  def initialize(fields, sent)
    @values = fields.to_h { |id, attribute| [id, text(sent[id] || default(attribute))] }
  end

  def to_h = @values
  def respond_to_missing?(name, _all = false) = @values.key?(name.to_s.chomp("=")) || super

  def method_missing(name, *given)
    id = name.to_s.chomp("=")
    return super unless @values.key?(id)
    name.end_with?("=") ? @values[id] = given.first : @values[id]
  end

  # submit.yml.erb sees a copy, with the same strings in it.
  def for_submit = OpenStruct.new(@values).instance_eval { binding }

  private

  # Bytes that are no text are given in base64.
  def text(value) = value.is_a?(Hash) ? value.fetch("base64").unpack1("m").force_encoding("UTF-8") : value.to_s

  # A box that is not ticked is sent as 0.
  def default(attribute)
    attribute["value"] || (attribute["widget"] == "check_box" ? attribute.fetch("unchecked_value", "0") : "")
  end
end

# The view of a running session: self is the connection, which answers nil to what it does not know.
module PortalView
  def self.without(connect, app) = app.view("view", connect.instance_eval { binding })
  def self.with(connect, app, session) = app.view("view", connect.instance_eval { session && binding })
end

# A session: a directory with what an app staged, and a job.
class PortalSession
  TemplateBinding = Struct.new(:session, :context) do
    def get_binding = binding
  end

  attr_reader :id, :app, :cluster_id, :job_id

  def initialize(data, app, id = SecureRandom.uuid)
    @data, @app, @id = Pathname.new(data), app, id
    entry = db_file.file? ? JSON.parse(db_file.read) : {}
    @cluster_id, @job_id = entry.values_at("cluster_id", "job_id")
  end

  def staged_root = @data.join("batch_connect", app.token, "output", id)
  def db_file = @data.join("batch_connect", "db").tap(&:mkpath).join(id)
  def user_defined_context_file = staged_root.join("user_defined_context.json")
  def user_context = user_defined_context_file.file? ? JSON.parse(user_defined_context_file.read) : {}
  def connect_file = staged_root.join("connection.yml")
  def cluster = OodAppkit.clusters[cluster_id]

  def cache_root = @data.join("batch_connect", "cache").tap(&:mkpath)
  def completed? = db_file.file? && JSON.parse(db_file.read)["cache_completed"] == true

  # What was typed, for the next form: all can read the file.
  def remember(context)
    file = cache_root.join("#{app.token.tr("/", "_")}.json")
    file.write(context.to_h.to_json)
    file.chmod(0o644)
  end

  # Check, stage, submit.
  def save(context, submit: true)
    @cluster_id = context.respond_to?(:cluster) ? context.cluster : ""
    options = app.submit_options(context)
    @cluster_id = options.fetch("cluster", cluster_id)
    stage(context)
    # by its name, since an app may have put itself before it
    submit ? public_send(:submit, options) : write_job(options)
  end

  def submit(options)
    words = write_job(options)
    content = staged_root.join("job_script_content.sh").read
    said, complaint, status = Open3.capture3(*words, stdin_data: "#!/bin/bash\n#{content}")
    raise complaint unless status.success?
    @job_id = said.strip
    db_file.write({ id: id, cluster_id: cluster_id, job_id: job_id, token: app.token }.to_json, perm: 0o600)
    true
  end

  def completed!
    db_file.write(JSON.parse(db_file.read).merge("cache_completed" => true).to_json) if db_file.file?
  end

  def card(name, version)
    return app.view(name, binding) unless name == "view"
    connect = OpenStruct.new(YAML.safe_load(connect_file.read))
    VERSIONS.fetch(version)[:session_in_view] ? PortalView.with(connect, app, self) : PortalView.without(connect, app)
  end

  private

  def stage(context)
    FileUtils.mkdir_p(staged_root, mode: 0o700)
    source = app.root.join("template")
    files = Pathname.glob(source.join("**", "*")).select(&:file?)
    files.reject { |file| file.extname == ".erb" }.each { |file| put(file, file.relative_path_from(source), file.binread) }
    user_defined_context_file.write(JSON.pretty_generate(context.to_h))
    place = TemplateBinding.new(self, context).get_binding
    files.select { |file| file.extname == ".erb" }.each do |file|
      put(file, file.relative_path_from(source).sub_ext(""), ERB.new(file.read, trim_mode: "-").result(place))
    end
  end

  def put(file, name, content)
    target = staged_root.join(name)
    target.dirname.mkpath
    target.binwrite(content)
    target.chmod(file.stat.mode)
  end

  # Writes the job's script and options; answers the words that submit it.
  def write_job(options)
    script = options.fetch("script", {})
    template = options.fetch("batch_connect", {})
    staged_root.join("job_script_content.sh").write(job_script(template))
    staged_root.join("job_script_options.json").write(JSON.pretty_generate(script))
    words = [(cluster.job_config[:bin_overrides] || {}).fetch("sbatch", "sbatch")]
    words << "--no-requeue" if script["rerunnable"] == false
    words += ["-D", staged_root.to_s, "-J", script.fetch("job_name", app.token), "-o", "#{staged_root}/output.log"]
    words += ["-p", script["queue_name"]] if script["queue_name"]
    words += ["-A", script["accounting_id"]] if script["accounting_id"]
    words += ["-t", format("%02d:%02d:%02d", script["wall_time"] / 3600, script["wall_time"] / 60 % 60, script["wall_time"] % 60)]
    # the job's environment is for sbatch alone, nothing of it and nothing of ours reaches the job
    words += ["--export", "NONE", *script.fetch("native", []).map(&:to_s), "--parsable"]
    words
  end

  def job_script(template)
    parameters = (template.fetch("conn_params", []).map(&:to_s) + %w[host port password]).uniq
    lines = parameters.map { |name| "#{name}: $#{name}" }.join('\n')
    wrapper = cluster.batch_connect_config(:basic)[:script_wrapper] || "%s"
    wrapper % <<~SHELL
      cd #{staged_root}
      export host
      export port
      create_yml () { (umask 077; echo -e "#{lines}" > "#{staged_root}/connection.yml"); }
      clean_up () {
        [[ -e "#{staged_root}/clean.sh" ]] && source "#{staged_root}/clean.sh"
        [[ ${SCRIPT_PID} ]] && pkill -P ${SCRIPT_PID} || :
        pkill -P $$
        exit ${1:-0}
      }
      #{HELPERS}
      host=$(hostname)
      [[ -e "#{staged_root}/before.sh" ]] && source "#{staged_root}/before.sh"
      echo "Script starting..."
      "#{staged_root}/script.sh" &
      SCRIPT_PID=$!
      [[ -e "#{staged_root}/after.sh" ]] && source "#{staged_root}/after.sh"
      create_yml
      wait ${SCRIPT_PID} || clean_up 1
      clean_up
    SHELL
  end

  # What the portal gives to scripts: find_port, port_used, wait_until_port_used, create_passwd.
  HELPERS = <<~'SHELL'
    port_used () { (: < "/dev/tcp/${1%%:*}/${1##*:}") 2>/dev/null; }
    find_port () {
      local port
      for port in $(shuf -i "${2:-2000}-${3:-65535}" -n 200); do
        port_used "${1:-localhost}:$port" || { echo "$port"; return 0; }
      done
      return 1
    }
    wait_until_port_used () {
      local i
      for ((i = 0; i < ${2:-30} * 2; i++)); do port_used "$1" && return 0; sleep 0.5; done
      return 1
    }
    create_passwd () { tr -cd 'a-zA-Z0-9' < /dev/urandom 2> /dev/null | head -c "${1:-8}"; }
    export -f port_used find_port wait_until_port_used create_passwd
  SHELL
end

# One thing that is to be done, and its answer.
class PortalRequest
  def initialize(places)
    @places = places
    @version = places.fetch("version", VERSIONS.keys.first)
    OodAppkit.read_clusters(places.fetch("clusters"))
  end

  def answer(wanted)
    what = %w[form page check launch card].find { |name| wanted.key?(name) }
    public_send(what, wanted)
  rescue StandardError, SyntaxError => e
    { "error" => e.message, "class" => e.class.name.to_s.split("::").last }
  end

  def form(wanted) = app(wanted["form"]).form

  def page(wanted) = PortalPage.new(app(wanted["page"]), wanted.fetch("values"), VERSIONS.fetch(@version)[:directives]).html

  def check(wanted)
    context = PortalContext.new(app(wanted["check"]).fields, wanted.fetch("values"))
    app(wanted["check"]).submit_options(context)
  rescue StandardError => e
    # what the form would show again
    { "error" => e.message, "class" => e.class.name.split("::").last, "shown_again" => context&.to_h&.transform_values(&:scrub) }
  end

  def launch(wanted)
    session = PortalSession.new(@places.fetch("data"), app(wanted["launch"]), *wanted["id"])
    context = PortalContext.new(session.app.fields, wanted.fetch("values"))
    session.save(context, submit: wanted.fetch("submit", true))
    session.remember(context)
    { "id" => session.id, "directory" => session.staged_root.to_s, "job" => session.job_id,
      # the portal keeps these for the next time
      "remembered" => context.to_h }
  rescue StandardError => e
    { "error" => e.message, "class" => e.class.name.split("::").last, "directory" => session&.staged_root.to_s }
  end

  def card(wanted)
    session = PortalSession.new(@places.fetch("data"), app(wanted.fetch("app")), wanted["card"])
    session.completed! if wanted["completed"]
    running = session.connect_file.file? && !session.completed?
    { "info" => session.card("info", @version), "view" => (session.card("view", @version) if running),
      "completed" => (session.card("completed", @version) if wanted["completed"]) }
  end

  private

  def app(name) = (@apps ||= {})[name] ||= PortalApp.new("#{@places.fetch("apps")}/#{name}")
end

if $PROGRAM_NAME == __FILE__ || $PROGRAM_NAME == "-e"
  places = JSON.parse($stdin.read)
  request = PortalRequest.new(places)
  puts JSON.generate(places.fetch("do").map { |wanted| request.answer(wanted) })
end
