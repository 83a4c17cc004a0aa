# SPDX-License-Identifier: GPL-3.0-or-later
# A secret's way from the form to the job. The portal writes whatever was typed into user_defined_context.json before it
# renders a template, so a template is the first that can take it out again: it goes into a file of mode 0600 that the job
# reads and removes first thing. Where no job will, the file is removed here, and so is what a job removes at its end if it
# comes to that: one that does not end in time is killed.
module OneShot
  FILE = "registry-token"
  # Names that a session has as long as it runs, in whatever app.
  PASSING = [FILE, "connection.yml", "server", "options.txt", "environment.txt", "arguments.txt"].freeze
  # Seconds after which a launch that the portal does not know has failed.
  LOST = 600

  # For a template, before anything else: afterwards neither the context nor its file has the secret.
  def self.take(session, context, name = "registry_token")
    root = session.staged_root.to_s
    File.chmod(0o700, root)
    secret = context.respond_to?(name) ? context.public_send(name).to_s.dup : ""
    context.public_send("#{name}=", "") unless secret.empty?
    rewrite("#{root}/user_defined_context.json", name)
    close_cache(session)
    sweep(session)
    return if secret.empty?
    write("#{root}/#{FILE}", secret)
    forget_if_refused(session)
  end

  # For the views of a session that is over.
  def self.forget(session)
    PASSING.each { |name| FileUtils.rm_rf("#{session.staged_root}/#{name}") }
  end

  # A file of the user's alone, new.
  def self.write(path, text)
    FileUtils.rm_f(path)
    File.open(path, File::WRONLY | File::CREAT | File::EXCL, 0o600) { |file| file.write(text) }
  end

  def self.rewrite(path, name)
    return unless File.file?(path)
    File.chmod(0o600, path)
    said = JSON.parse(File.read(path))
    said[name] = "" if said.key?(name)
    # in place: another file would leave this one's content on the disk
    File.open(path, "r+") { |file| file.truncate(file.write(JSON.pretty_generate(said))) }
  end

  # The portal remembers what was typed in files that all can read, in a directory beside the one of its sessions' entries.
  def self.close_cache(session)
    cache = session.db_file.dirname.parent.join("cache")
    FileUtils.mkdir_p(cache, mode: 0o700)
    File.chmod(0o700, cache)
  end

  # The portal submits when all is rendered. Where that fails nobody would ever read the file.
  def self.forget_if_refused(session)
    session.define_singleton_method(:submit) do |*given|
      done = false
      done = super(*given)
    ensure
      FileUtils.rm_f("#{staged_root}/#{FILE}") unless done
    end
  end

  # What launches left that failed otherwise, or jobs that were cancelled while they waited or were killed.
  def self.sweep(session)
    known = session.db_file.dirname
    Dir.glob("#{session.staged_root.parent}/*/{#{PASSING.join(",")}}").each do |path|
      entry = known.join(File.basename(File.dirname(path)))
      over = entry.file? ? JSON.parse(entry.read)["cache_completed"] : Time.now - File.mtime(path) > LOST
      FileUtils.rm_rf(path) if over
    rescue JSON::ParserError, SystemCallError
      next
    end
  end
  private_class_method :rewrite, :close_cache, :forget_if_refused, :sweep
end
